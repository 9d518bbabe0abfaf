#include "protocol/framing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <utility>
#include <vector>

namespace postern::protocol {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

using Frames = std::vector<std::pair<std::string, char>>;

Frames feed(Framer& framer, std::string_view input, std::size_t step = std::string_view::npos) {
    Frames frames;
    while (!input.empty()) {
        std::string_view part = input.substr(0, step);
        input.remove_prefix(part.size());
        // A copy of its own, so that a frame which points past it is seen by the sanitizers.
        const std::string copy(part);
        std::string_view rest = copy;
        while (const auto frame = framer.next(rest)) {
            frames.emplace_back(std::string(frame->text), frame->terminator);
        }
        EXPECT_TRUE(rest.empty());
    }
    return frames;
}

Frames frames_of(std::string_view input, std::size_t step = std::string_view::npos) {
    Framer framer;
    return feed(framer, input, step);
}

std::string operator""_s(const char* text, std::size_t size) {
    return {text, size};
}

TEST(Framer, NulEndsAMessage) {
    EXPECT_THAT(frames_of("{\"a\":1}\0{\"b\":2}\0"_s),
                ElementsAre(Pair("{\"a\":1}", '\0'), Pair("{\"b\":2}", '\0')));
}

TEST(Framer, NewlineOutsideAValueEndsAMessage) {
    EXPECT_THAT(frames_of("{\"a\":1}\n[2]\nx\n"),
                ElementsAre(Pair("{\"a\":1}", '\n'), Pair("[2]", '\n'), Pair("x", '\n')));
}

TEST(Framer, NewlineInsideAValueDoesNot) {
    EXPECT_THAT(frames_of("{\n \"a\": [\n1\n]\n}\n"),
                ElementsAre(Pair("{\n \"a\": [\n1\n]\n}", '\n')));
    EXPECT_THAT(frames_of("\"a\nb\"\n"), ElementsAre(Pair("\"a\nb\"", '\n')));
}

TEST(Framer, NulEndsAMessageInsideAValueToo) {
    EXPECT_THAT(frames_of("{\"a\0[1]\n"_s), ElementsAre(Pair("{\"a", '\0'), Pair("[1]", '\n')));
}

TEST(Framer, BracketsAndQuotesInsideStringsDoNotCount) {
    EXPECT_THAT(frames_of(R"({"a":"}\"]{\\"})"
                          "\n{}\n"),
                ElementsAre(Pair(R"({"a":"}\"]{\\"})", '\n'), Pair("{}", '\n')));
}

TEST(Framer, ClosingBracketsTooManyAreTheParsersQuestion) {
    EXPECT_THAT(frames_of("}}\n{]\n"), ElementsAre(Pair("}}", '\n'), Pair("{]", '\n')));
}

TEST(Framer, EmptyMessagesAndWhiteSpaceAreSkipped) {
    EXPECT_THAT(frames_of("\n\0 \t\r\n\0\0 {}\n\n"_s), ElementsAre(Pair("{}", '\n')));
    Framer framer;
    EXPECT_THAT(feed(framer, " \n\r\t\0"_s), IsEmpty());
    EXPECT_FALSE(framer.mid_message());
}

// A client may send its line inside a buffer that is padded with NUL bytes.
TEST(Framer, ALinePaddedWithNulsIsOneMessage) {
    std::string buffer = "{\"method\":\"x\"}\n";
    buffer.resize(4096, '\0');
    EXPECT_THAT(frames_of(buffer), ElementsAre(Pair("{\"method\":\"x\"}", '\n')));
}

TEST(Framer, OneByteWritesGiveTheSameAsOneWrite) {
    const std::string input = "{\"a\":\"\\\"\n\"}\n\n \0[1,\n2]\0\"x\ny\"\n{]\n7\0"_s;
    const Frames whole = frames_of(input);
    ASSERT_EQ(whole.size(), 5U);
    for (std::size_t step = 1; step < input.size(); ++step) {
        EXPECT_EQ(frames_of(input, step), whole) << "in parts of " << step;
    }
}

TEST(Framer, SaysWhetherAMessageHasBegun) {
    Framer framer;
    EXPECT_FALSE(framer.mid_message());
    feed(framer, "  {");
    EXPECT_TRUE(framer.mid_message());
    feed(framer, "}");
    EXPECT_TRUE(framer.mid_message());
    feed(framer, "\n");
    EXPECT_FALSE(framer.mid_message());
}

TEST(Framer, AMessageOfExactlyTheMaximumPasses) {
    const std::string text(limits::message_bytes, 'x');
    EXPECT_THAT(frames_of(text + '\n'), ElementsAre(Pair(text, '\n')));
    EXPECT_THAT(frames_of(text + '\0', 1000), ElementsAre(Pair(text, '\0')));
    // White space before a message is no part of it.
    EXPECT_THAT(frames_of("   " + text + '\n'), ElementsAre(Pair(text, '\n')));
}

TEST(Framer, OneByteMoreIsTooLong) {
    const std::string text(limits::message_bytes + 1, 'x');
    for (const std::size_t step : {std::size_t{1}, std::size_t{4096}, std::string::npos}) {
        Framer framer;
        EXPECT_THAT(feed(framer, text + "\n{}\n", step), IsEmpty());
        EXPECT_TRUE(framer.too_long());
        // Where the next message begins is not known any more.
        EXPECT_THAT(feed(framer, "{}\n"), IsEmpty());
    }
}

TEST(Framer, TooLongIsKnownBeforeTheMessageEnds) {
    Framer framer;
    feed(framer, std::string(limits::message_bytes, '['));
    EXPECT_FALSE(framer.too_long());
    feed(framer, "[");
    EXPECT_TRUE(framer.too_long());
}

// Every byte is looked at once: a message that comes byte by byte costs what it costs in one piece,
// not its square. Both are measured, so that a slow machine does not matter; and in processor time,
// so that a busy one does not.
TEST(Framer, OneByteWritesCostLinearTime) {
    const auto time_of = [](std::size_t bytes) {
        const std::string text(bytes, '[');
        const std::clock_t begin = std::clock();
        for (int round = 0; round < 8; ++round) {
            Framer framer(bytes);
            for (const char c : text) {
                std::string_view one(&c, 1);
                EXPECT_FALSE(framer.next(one));
            }
        }
        return std::clock() - begin;
    };
    const auto small = time_of(20'000);
    const auto large = time_of(320'000);
    // Sixteen times the bytes: 16 times the time if linear, 256 times if each write looked again.
    EXPECT_LT(large, small * 80);
}

}  // namespace
}  // namespace postern::protocol
