#include "daemon/session/job_output.h"

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "protocol/base64.h"
#include "tests/unit/daemon/session/harness.h"

namespace postern::session {
namespace {

using nlohmann::json;
using protocol::encode_base64;
using test::TestFile;

struct Files {
    TestFile out;
    TestFile err;
};

TEST(JobStream, KeepsTheStreamsApart) {
    Files files;
    JobStream stream(files.out.reader(), files.err.reader(), {0, 0});
    EXPECT_EQ(stream.next(false), std::nullopt);
    files.out.append("out");
    files.err.append("err");
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{0, "out"}, {0, "err"}}}));
    files.err.append("more");
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{}, {0, "more"}}}));
    EXPECT_EQ(stream.next(true), std::nullopt);
    EXPECT_EQ(stream.read_to(), (std::array<std::uint64_t, 2>{3, 7}));
}

TEST(JobStream, GivesBytesThatAreNoText) {
    Files files;
    JobStream stream(files.out.reader(), files.err.reader(), {0, 0});
    files.out.append("a\xff\xfe");
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{0, "a\xff\xfe"}, {}}}));
    files.err.append("\xc3(");
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{}, {0, "\xc3("}}}));
    files.out.append("text again");
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{0, "text again"}, {}}}));
}

TEST(JobStream, HoldsBackTheBeginningOfACharacter) {
    Files files;
    JobStream stream(files.out.reader(), files.err.reader(), {0, 0});
    const std::string euro = "\xe2\x82\xac";
    files.out.append("a" + euro.substr(0, 1));
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{0, "a"}, {}}}));
    files.out.append(euro.substr(1, 1));
    EXPECT_EQ(stream.next(false), std::nullopt);
    files.out.append(euro.substr(2) + "b");
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{0, euro + "b"}, {}}}));
    // What is held back is read all the same.
    EXPECT_EQ(stream.read_to()[0], 5U);
}

TEST(JobStream, GivesWhatItHoldsAtTheEnd) {
    Files files;
    JobStream stream(files.out.reader(), files.err.reader(), {0, 0});
    files.out.append("\xe2\x82");
    EXPECT_EQ(stream.next(false), std::nullopt);
    EXPECT_EQ(stream.next(true), (JobStream::Chunk{{{0, "\xe2\x82"}, {}}}));
    EXPECT_EQ(stream.next(true), std::nullopt);
}

TEST(JobStream, CutsLongOutputAtCharacters) {
    Files files;
    JobStream stream(files.out.reader(), files.err.reader(), {0, 0});
    std::string all;
    while (all.size() < 3 * chunk_bytes) all += "\xf0\x9f\x9a\xaa-";
    files.out.append(all);
    std::string got;
    while (auto chunk = stream.next(true)) {
        const std::string& bytes = chunk->front().bytes;
        ASSERT_TRUE(valid_utf8(bytes)) << "never base64: every part is whole characters";
        ASSERT_LE(bytes.size(), chunk_bytes + 3);
        got += bytes;
    }
    EXPECT_EQ(got, all);
}

TEST(JobStream, SaysWhatItMissedBeforeTheBytesThatFollow) {
    Files files;
    JobStream stream(files.out.reader(), files.err.reader(), {0, 0});
    files.out.append(std::string(8192, 'a') + "b");
    files.out.punch(0, 8192);
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{8192, "b"}, {}}}));
}

TEST(JobStream, WhatIsHeldStandsBeforeTheGap) {
    Files files;
    JobStream stream(files.out.reader(), files.err.reader(), {0, 0});
    files.out.append(std::string(4095, 'a') + "\xe2");
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{0, std::string(4095, 'a')}, {}}}));
    files.out.append("\x82\xac" + std::string(4094, 'x') + "end");
    files.out.punch(0, 8192);
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{0, "\xe2"}, {}}}));
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{4096, "end"}, {}}}));
    EXPECT_EQ(stream.next(true), std::nullopt);
}

TEST(JobStream, BeginsWhereItIsTold) {
    Files files;
    files.out.append("one\ntwo\n");
    files.err.append("err\n");
    JobStream stream(files.out.reader(), files.err.reader(), {4, 4});
    EXPECT_EQ(stream.given(), (std::array<std::uint64_t, 2>{4, 4}));
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{0, "two\n"}, {}}}));
    EXPECT_EQ(stream.next(true), std::nullopt);
    EXPECT_EQ(stream.given(), (std::array<std::uint64_t, 2>{8, 4}));
    // Past the end nobody has anything.
    JobStream behind(files.out.reader(), files.err.reader(), {100, 4});
    EXPECT_EQ(behind.next(false), std::nullopt);
    EXPECT_EQ(behind.given(), (std::array<std::uint64_t, 2>{8, 4}));
    EXPECT_EQ(behind.beyond_end()[0], 8U);
    EXPECT_EQ(behind.beyond_end()[1], std::nullopt);
}

TEST(JobStream, WhatIsHeldBackIsNotGiven) {
    Files files;
    JobStream stream(files.out.reader(), files.err.reader(), {0, 0});
    files.out.append(std::string(4095, 'a') + "\xe2");
    EXPECT_TRUE(stream.next(false));
    EXPECT_EQ(stream.read_to()[0], 4096U);
    EXPECT_EQ(stream.given()[0], 4095U);
    files.out.append("\x82" + std::string(8191, 'x'));
    files.out.punch(0, 8192);
    EXPECT_TRUE(stream.next(false));  // it stood before the gap
    EXPECT_EQ(stream.given()[0], 4096U);
    EXPECT_EQ(stream.next(false), (JobStream::Chunk{{{4096, std::string(4096, 'x')}, {}}}));
    EXPECT_EQ(stream.given()[0], 12288U);
}

TEST(JobSummary, GivesAllOfShortOutput) {
    Files files;
    JobSummary summary(files.out.reader(), files.err.reader(), {0, 0}, 32768);
    files.out.append("out");
    files.err.append("\xff");
    EXPECT_EQ(summary.finish(), json({{"stdout", "out"}, {"stderrBase64", encode_base64("\xff")}}));
}

TEST(JobSummary, GivesTheFirstBytesAndSaysHowManyAreLeftOut) {
    Files files;
    JobSummary summary(files.out.reader(), files.err.reader(), {0, 0}, 10);
    files.out.append("0123456789");
    files.err.append("0123456789a");
    EXPECT_EQ(summary.finish(),
              json({{"stdout", "0123456789"}, {"stderr", "0123456789"}, {"stderrMissed", 1}}));
}

TEST(JobSummary, DoesNotCutThroughACharacter) {
    Files files;
    JobSummary summary(files.out.reader(), files.err.reader(), {0, 0}, 10);
    files.out.append("12345678\xe2\x82\xac");
    EXPECT_EQ(summary.finish(), json({{"stdout", "12345678"}, {"stdoutMissed", 3}}));
}

TEST(JobSummary, WaitsForNothingMoreThanItGives) {
    Files files;
    JobSummary summary(files.out.reader(), files.err.reader(), {0, 0}, 4);
    files.out.append("12345");
    summary.read();
    EXPECT_FALSE(summary.full());
    EXPECT_EQ(summary.read_to(), (std::array<std::uint64_t, 2>{not_awaited, 0}));
    EXPECT_EQ(summary.given(), (std::array<std::uint64_t, 2>{not_awaited, 0}));
    files.err.append("12345");
    summary.read();
    EXPECT_TRUE(summary.full());
    // The first bytes are kept, even if the guard punches them away before the end.
    files.out.append(std::string(8192, 'x'));
    files.out.punch(0, 4096);
    EXPECT_EQ(
        summary.finish(),
        json(
            {{"stdout", "1234"}, {"stdoutMissed", 8193}, {"stderr", "1234"}, {"stderrMissed", 1}}));
}

TEST(JobSummary, FitsIntoItsReplyWhateverTheBytes) {
    for (const char byte : {'\x01', '"', 'x', '\xff'}) {
        Files files;
        JobSummary summary(files.out.reader(), files.err.reader(), {0, 0}, std::uint64_t{1} << 40);
        files.out.append(std::string(1 << 20, byte));
        files.err.append(std::string(1 << 20, byte));
        const json reply = summary.finish();
        EXPECT_LE(reply.dump().size(), limits::client_backlog_bytes / 2 - 4096);
        EXPECT_GE(reply.dump().size(), limits::client_backlog_bytes / 4);
    }
}

TEST(JsonPrefix, CountsWhatIsWritten) {
    for (const std::string text :
         {"plain", "a\"b\\c", "\n\t\x01\x1f\x7f", "\xe2\x82\xac\xe2\x82\xac"}) {
        const std::size_t all = json(text).dump().size() - 2;
        EXPECT_EQ(json_prefix(text, all), text.size());
        for (std::size_t maximum = 0; maximum < all; ++maximum) {
            const std::size_t prefix = json_prefix(text, maximum);
            ASSERT_LT(prefix, text.size());
            EXPECT_LE(json(text.substr(0, prefix)).dump().size() - 2, maximum);
        }
    }
}

}  // namespace
}  // namespace postern::session
