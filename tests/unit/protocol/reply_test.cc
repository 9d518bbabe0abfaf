#include "protocol/reply.h"

#include <gtest/gtest.h>

#include "protocol/call.h"

namespace postern::protocol {
namespace {

using nlohmann::json;

TEST(DecodeReply, TakesWhatTheDaemonSends) {
    const auto reply = decode_reply(R"({"continues":true,"parameters":{"job":"1"}})");
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->parameters, json({{"job", "1"}}));
    EXPECT_TRUE(reply->continues);
    EXPECT_EQ(reply->error, "");

    const auto error = decode_reply(R"({"error":"a.E","parameters":{"m":1}})");
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->error, "a.E");
    EXPECT_FALSE(error->continues);
}

TEST(DecodeReply, TakesRepliesOfOtherDaemons) {
    for (const char* text : {"{}", R"({"parameters":null,"error":null,"continues":null})",
                             R"({"parameters":{},"future":1})"}) {
        const auto reply = decode_reply(text);
        ASSERT_TRUE(reply.has_value()) << text;
        EXPECT_EQ(reply->parameters, json::object());
        EXPECT_EQ(reply->error, "");
    }
}

TEST(DecodeReply, TakesLongOnes) {
    const std::string text(std::size_t{8} * 1024 * 1024, 'x');
    const auto reply = decode_reply(R"({"parameters":{"stdout":")" + text + "\"}}");
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->parameters["stdout"], text);
}

TEST(DecodeReply, RefusesWhatIsNone) {
    for (const char* text : {"", "x", "[]", "7", R"({"parameters":[]})", R"({"continues":1})",
                             R"({"error":{}})", R"({"error":""})", R"({"parameters":{}} {})"}) {
        EXPECT_FALSE(decode_reply(text).has_value()) << text;
    }
}

TEST(EncodeCall, IsWhatTheDaemonDecodes) {
    EXPECT_EQ(encode_call("a.B", nullptr), std::string("{\"method\":\"a.B\"}\0", 17));
    const std::string text = encode_call("a.B", {{"x", 1}}, {.more = true, .terminator = '\n'});
    ASSERT_TRUE(text.ends_with('\n'));
    const auto call = decode_call(std::string_view(text).substr(0, text.size() - 1));
    ASSERT_TRUE(call.has_value());
    EXPECT_EQ(call->method, "a.B");
    EXPECT_EQ(call->parameters, json({{"x", 1}}));
    EXPECT_TRUE(call->more);
    EXPECT_FALSE(call->oneway);
    const std::string oneway = encode_call("a.B", json::object(), {.oneway = true});
    EXPECT_EQ(oneway, std::string("{\"method\":\"a.B\",\"oneway\":true,\"parameters\":{}}\0", 47));
}

}  // namespace
}  // namespace postern::protocol
