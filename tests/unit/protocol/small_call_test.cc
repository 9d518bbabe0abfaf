#include "protocol/small_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "base/limits.h"
#include "protocol/call.h"
#include "protocol/framing.h"

namespace postern::protocol {
namespace {

using nlohmann::json;
using namespace std::string_literals;

constexpr std::string_view ping =
    R"({"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}})";

json parameters_of(const SmallCall& call) {
    json parameters = json::object();
    for (const auto& [name, value] : call.parameters()) parameters[std::string(name)] = value;
    return parameters;
}

// Whether it is recognized, which must not make another call of it.
bool recognized(std::string_view message) {
    const auto small = read_small_call(message);
    if (!small) return false;
    const auto call = decode_call(message);
    EXPECT_TRUE(call.has_value()) << message;
    if (!call) return true;
    EXPECT_EQ(small->method, call->method);
    EXPECT_EQ(parameters_of(*small), call->parameters);
    EXPECT_FALSE(call->more || call->oneway || call->upgrade) << message;
    return true;
}

std::string ping_of(std::string_view text) {
    return R"({"method":"a.B","parameters":{"ping":")" + std::string(text) + "\"}}";
}

TEST(SmallCall, RecognizesWhatIsPlain) {
    for (const std::string_view message : {
             ping,
             std::string_view(R"({"method":"a.B"})"),
             std::string_view(R"({"method":""})"),
             std::string_view(R"({"parameters":{},"method":"a.B"})"),
             std::string_view(R"({"method":"a.B","parameters":{"":"","b":"{}[]:,'~"}})"),
             std::string_view("\t{ \"method\"\r\n:\t\"a.B\" , \"parameters\" : { \"a\" : \"b\" "
                              ", \"c\":\"d\" } } \r\n\t"),
         }) {
        EXPECT_TRUE(recognized(message)) << message;
    }
}

TEST(SmallCall, TakesNothingThatIsNotCertain) {
    for (const std::string_view message : {
             // No JSON, or no call.
             std::string_view(),
             std::string_view("{"),
             std::string_view("{}"),
             std::string_view("[]"),
             std::string_view(R"("method")"),
             std::string_view(R"({"method":"a.B",})"),
             std::string_view(R"({"method":"a.B"}})"),
             std::string_view(R"({"method":"a.B"}{)"),
             std::string_view(R"({"method":"a.B")"),
             std::string_view(R"({"method":"a.B)"),
             std::string_view(R"({"method""a.B"})"),
             std::string_view(R"({,"method":"a.B"})"),
             std::string_view(R"({"method":"a.B" "parameters":{}})"),
             std::string_view(R"({"method":"a.B","parameters":{"a":"b",}})"),
             std::string_view(R"({"method":7})"),
             std::string_view(R"({"parameters":{}})"),
             std::string_view("{\"method\":\"a.B\"\f}"),
             // More than one of a name.
             std::string_view(R"({"method":"a.B","method":"a.B"})"),
             std::string_view(R"({"method":"a.B","parameters":{},"parameters":{}})"),
             std::string_view(R"({"method":"a.B","parameters":{"a":"b","a":"c"}})"),
             // What another reader knows more of.
             std::string_view(R"({"method":"a.B","parameters":null})"),
             std::string_view(R"({"method":"a.B","parameters":{"a":1}})"),
             std::string_view(R"({"method":"a.B","parameters":{"a":{}}})"),
             std::string_view(R"({"method":"a.B","parameters":["a"]})"),
             std::string_view(R"({"method":"a.B","more":false})"),
             std::string_view(R"({"method":"a.B","oneway":true})"),
             std::string_view(R"({"method":"a.B","upgrade":false})"),
             std::string_view(R"({"method":"a.B","other":"x"})"),
             std::string_view(R"({"m\u0065thod":"a.B"})"),
             std::string_view("{\"method\":\"a.B\"}\0"
                              "x",
                              18),
             std::string_view("\xEF\xBB\xBF{\"method\":\"a.B\"}"),
         }) {
        EXPECT_FALSE(recognized(message)) << message;
    }
}

// A byte is plain or not, wherever in a text it stands.
TEST(SmallCall, KnowsWhichBytesArePlain) {
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const bool plain = byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\';
        for (std::size_t before = 0; before < 18; ++before) {
            const std::string text = std::string(before, 'x') + c + std::string(9, 'y');
            EXPECT_EQ(recognized(ping_of(text)), plain) << byte << " after " << before;
        }
    }
}

TEST(SmallCall, HasRoomForSoMuch) {
    EXPECT_TRUE(recognized(ping_of(std::string(limits::json_string_bytes, 'x'))));
    EXPECT_FALSE(recognized(ping_of(std::string(limits::json_string_bytes + 1, 'x'))));
    std::string parameters;
    for (std::size_t i = 0; i <= SmallCall::most_parameters; ++i) {
        if (i > 0) parameters += ',';
        parameters += '"' + std::to_string(i) + R"(":"x")";
        EXPECT_EQ(recognized(R"({"method":"a.B","parameters":{)" + parameters + "}}"),
                  i < SmallCall::most_parameters);
    }
    const std::string padding(limits::message_bytes - ping.size(), ' ');
    EXPECT_TRUE(recognized(std::string(ping) + padding));
    EXPECT_FALSE(recognized(std::string(ping) + padding + ' '));
}

using Frames = std::vector<std::pair<std::string, char>>;

// The methods of what comes off the front, and what is left.
std::pair<Frames, std::string> all_of(std::string_view input) {
    Frames frames;
    while (const auto frame = next_small_call(input)) {
        frames.emplace_back(frame->call.method, frame->terminator);
    }
    return {frames, std::string(input)};
}

TEST(SmallCall, ComesOffAStreamAsTheFramerWouldTakeIt) {
    const std::string a = R"({"method":"a"})";
    EXPECT_EQ(all_of(a + '\n' + a + '\0' + "\r\n\0 "s + a + " \t\n" + a),
              std::pair(Frames({{"a", '\n'}, {"a", '\0'}, {"a", '\n'}}), a));
    // Of what is not one nothing is taken, and not what stands before it either.
    for (const std::string& left : {" "s, "\0"s, "\n7\n"s, a + a + '\n', a + "x\n", a + "\x01\n",
                                    a + "\x0b\n", "{\"method\":\0\"a\"}\n"s}) {
        EXPECT_EQ(all_of(left), std::pair(Frames(), left));
    }
}

TEST(SmallCall, IsAsLongAsAMessageMayBe) {
    const std::string longest =
        std::string(ping) + std::string(limits::message_bytes - ping.size(), ' ');
    for (const std::string& text : {longest, longest + ' '}) {
        const std::string with_end = text + '\n';
        std::string_view small = with_end;
        std::string_view framed = with_end;
        Framer framer;
        EXPECT_EQ(next_small_call(small).has_value(), framer.next(framed).has_value());
    }
}

TEST(SmallCall, AReplyIsTheSameAsAnyOther) {
    for (const char terminator : {'\0', '\n'}) {
        for (const std::string text : {"", "x", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~ "}) {
            std::string reply = "before";
            append_small_reply(reply, "pong", text, terminator);
            EXPECT_EQ(reply, "before" + encode_reply({{"pong", text}}, false, terminator));
        }
    }
}

}  // namespace
}  // namespace postern::protocol
