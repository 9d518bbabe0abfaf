#include "protocol/call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"

namespace postern::protocol {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string error_of(std::string_view message) {
    const auto call = decode_call(message);
    EXPECT_FALSE(call.has_value()) << message;
    return call ? "" : call.error().message;
}

TEST(DecodeCall, TakesAllKeys) {
    const auto call = decode_call(R"({"method":"a.B","parameters":{"x":[1,"y",true]},"more":true,)"
                                  R"("oneway":false,"upgrade":true})");
    ASSERT_TRUE(call.has_value()) << call.error().message;
    EXPECT_EQ(call->method, "a.B");
    EXPECT_EQ(call->parameters, json::parse(R"({"x":[1,"y",true]})"));
    EXPECT_TRUE(call->more);
    EXPECT_FALSE(call->oneway);
    EXPECT_TRUE(call->upgrade);
}

TEST(DecodeCall, ParametersMayBeMissingOrNull) {
    for (const char* text :
         {R"({"method":"a.B"})", R"({"method":"a.B","parameters":null})",
          R"({"method":"a.B","parameters":{}})", " {\r\n\"method\":\t\"a.B\"}\r"}) {
        const auto call = decode_call(text);
        ASSERT_TRUE(call.has_value()) << text;
        EXPECT_EQ(call->parameters, json::object());
        EXPECT_FALSE(call->more || call->oneway || call->upgrade);
    }
}

TEST(DecodeCall, NamesTheKeyThatIsWrong) {
    EXPECT_EQ(error_of(R"({})"), "method: is required");
    EXPECT_EQ(error_of(R"({"method":7})"), "method: must be a string");
    EXPECT_EQ(error_of(R"({"method":null})"), "method: must be a string");
    EXPECT_EQ(error_of(R"({"method":"a.B","parameters":[]})"), "parameters: must be an object");
    EXPECT_EQ(error_of(R"({"method":"a.B","more":1})"), "more: must be true or false");
    EXPECT_EQ(error_of(R"({"method":"a.B","oneway":"yes"})"), "oneway: must be true or false");
    EXPECT_EQ(error_of(R"({"method":"a.B","upgrade":null})"), "upgrade: must be true or false");
    EXPECT_EQ(error_of(R"({"method":"a.B","more":true,"oneway":true})"),
              "oneway: excludes more, because a one-way call has no reply");
    EXPECT_EQ(error_of(R"({"method":"a.B","paramters":{}})"),
              "\"paramters\": no such key in a call; there are method, parameters, more, oneway, "
              "upgrade");
}

TEST(DecodeCall, RefusesWhatIsNoObject) {
    for (const char* text : {"[]", "7", "\"method\"", "null", "true"}) {
        EXPECT_THAT(error_of(text), HasSubstr("must be a JSON object")) << text;
    }
}

// Duplicate keys, NaN, 1e999, 2^53+1, trailing bytes, a byte order mark, invalid UTF-8, surrogates:
// rejected, whatever part of the call they stand in.
TEST(DecodeCall, IsStrict) {
    const auto parameters = [](const std::string& value) {
        return R"({"method":"a.B","parameters":{"x":)" + value + "}}";
    };
    EXPECT_TRUE(decode_call(parameters("9007199254740992")).has_value());
    for (const std::string& wrong :
         {parameters("9007199254740993"), parameters("-9007199254740993"), parameters("NaN"),
          parameters("1e999"), parameters("Infinity"), parameters("\"\xff\""),
          parameters("\"\\ud800\""), parameters("1,\"x\":2"), parameters("01"), parameters("1,"),
          parameters("'a'"), std::string(R"({"method":"a.B","method":"a.C"})"),
          std::string(R"({"method":"a.B"} x)"), std::string(R"({"method":"a.B"}{})"),
          std::string("\xef\xbb\xbf{\"method\":\"a.B\"}"), std::string(R"({"method":"a.B")"),
          std::string("// hi\n{\"method\":\"a.B\"}"), std::string()}) {
        EXPECT_NE(error_of(wrong), "");
    }
    EXPECT_THAT(error_of(parameters("1,\"x\":2")), HasSubstr("x"));
}

// Each limit passes at the limit, and is a clear error one past it.
TEST(DecodeCall, HoldsItsLimits) {
    const auto with = [](const std::string& value) {
        return R"({"method":"a.B","parameters":{"x":)" + value + "}}";
    };
    const auto nested = [&](std::size_t depth) {  // the call and its parameters are two
        return with(std::string(depth - 2, '[') + std::string(depth - 2, ']'));
    };
    EXPECT_TRUE(decode_call(nested(limits::json_depth)).has_value());
    EXPECT_THAT(error_of(nested(limits::json_depth + 1)), HasSubstr("16"));

    const auto text = [&](std::size_t bytes) { return with('"' + std::string(bytes, 'x') + '"'); };
    EXPECT_TRUE(decode_call(text(limits::json_string_bytes)).has_value());
    EXPECT_THAT(error_of(text(limits::json_string_bytes + 1)), HasSubstr("4096"));
    const auto longer = [](const std::string& parameters, std::size_t bytes) {
        return R"({"method":"a.B","parameters":)" + parameters + std::string(bytes, 'x') +
               (parameters.find("arguments") == std::string::npos ? "\"}}" : "\"}}}");
    };
    for (const auto& [place, most] : {std::pair{R"({"input":")", limits::input_bytes},
                                      {R"({"inputBase64":")", std::size_t{43692}},
                                      {R"({"arguments":{"x":")", limits::multiline_bytes}}) {
        EXPECT_TRUE(decode_call(longer(place, most)).has_value()) << place;
        EXPECT_THAT(error_of(longer(place, most + 1)), HasSubstr(std::to_string(most)));
    }

    const auto members = [](std::size_t count) {
        json object = json::object();
        for (std::size_t i = 0; i < count; ++i) object["k" + std::to_string(i)] = 1;
        return R"({"method":"a.B","parameters":)" + object.dump() + "}";
    };
    EXPECT_TRUE(decode_call(members(limits::json_members)).has_value());
    EXPECT_THAT(error_of(members(limits::json_members + 1)), HasSubstr("256"));

    const auto bytes = [](std::size_t count) {
        const std::string call = R"({"method":"a.B"})";
        return call + std::string(count - call.size(), ' ');
    };
    EXPECT_TRUE(decode_call(bytes(limits::message_bytes)).has_value());
    EXPECT_THAT(error_of(bytes(limits::message_bytes + 1)), HasSubstr("65536"));
}

TEST(EncodeReply, HasOnlyTheKeysOfVarlink) {
    EXPECT_EQ(encode_reply({{"pong", "x"}}, false, '\n'), "{\"parameters\":{\"pong\":\"x\"}}\n");
    EXPECT_EQ(encode_reply(json::object(), true, '\0'),
              std::string("{\"continues\":true,\"parameters\":{}}\0", 35));
    EXPECT_EQ(encode_error("a.E", {{"m", 1}}, '\n'),
              "{\"error\":\"a.E\",\"parameters\":{\"m\":1}}\n");
}

TEST(EncodeReply, IsOneLineAndValidWhateverItCarries) {
    const std::string reply = encode_reply({{"x", std::string("a\nb\0\xff", 5)}}, false, '\n');
    EXPECT_EQ(reply, "{\"parameters\":{\"x\":\"a\\nb\\u0000\xEF\xBF\xBD\"}}\n");
}

}  // namespace
}  // namespace postern::protocol
