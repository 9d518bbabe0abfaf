#include "daemon/session/output_tail.h"

#include <gtest/gtest.h>

#include "tests/unit/daemon/session/harness.h"

namespace postern::session {
namespace {

using test::TestFile;
using Offsets = std::array<std::uint64_t, 2>;

Offsets begin_of(const TestFile& out, const TestFile& err, std::uint64_t lines) {
    OutputTail tail(out.reader(), err.reader(), lines);
    while (!tail.look()) {
    }
    return tail.offsets();
}

std::uint64_t begin_of(std::string_view text, std::uint64_t lines) {
    TestFile out;
    TestFile err;
    out.append(text);
    const auto [first, second] = begin_of(out, err, lines);
    EXPECT_EQ(second, 0U);
    return first;
}

TEST(OutputTail, BeginsAfterTheNewlineBeforeTheLines) {
    EXPECT_EQ(begin_of("one\ntwo\nthree\n", 1), 8U);
    EXPECT_EQ(begin_of("one\ntwo\nthree\n", 2), 4U);
    EXPECT_EQ(begin_of("one\ntwo\nthree\n", 3), 0U);
    EXPECT_EQ(begin_of("one\ntwo\nthree\n", 4), 0U);
    EXPECT_EQ(begin_of("one\ntwo\nthree\n", 0), 14U);
}

TEST(OutputTail, ALineThatHasNotEndedIsOne) {
    EXPECT_EQ(begin_of("one\ntwo", 1), 4U);
    EXPECT_EQ(begin_of("one\ntwo", 2), 0U);
    EXPECT_EQ(begin_of("one", 1), 0U);
}

TEST(OutputTail, EmptyLinesAreLines) {
    EXPECT_EQ(begin_of("\n\n\n", 1), 2U);
    EXPECT_EQ(begin_of("\n\n\n", 2), 1U);
    EXPECT_EQ(begin_of("\n\n\n", 3), 0U);
    EXPECT_EQ(begin_of("", 3), 0U);
}

TEST(OutputTail, EachStreamHasItsOwn) {
    TestFile out;
    TestFile err;
    out.append("a\nb\n");
    err.append("one\ntwo\nthree\n");
    EXPECT_EQ(begin_of(out, err, 1), (Offsets{2, 8}));
}

TEST(OutputTail, LinesMayBeginAnywhereInABlock) {
    constexpr std::size_t tail_block = OutputTail::block_bytes;
    for (const std::size_t last : {tail_block - 1, tail_block, tail_block + 1, 3 * tail_block}) {
        const std::string text = "first\n" + std::string(last, 'x');
        EXPECT_EQ(begin_of(text, 1), 6U) << last;
        EXPECT_EQ(begin_of(text + "\n", 1), 6U) << last;
    }
}

TEST(OutputTail, ATurnReadsOneBlock) {
    TestFile out;
    TestFile err;
    out.append("first\n" + std::string(8 * OutputTail::block_bytes - 6, 'x'));
    OutputTail tail(out.reader(), err.reader(), 1);
    for (int turn = 0; turn < 7; ++turn) EXPECT_FALSE(tail.look()) << turn;
    EXPECT_TRUE(tail.look());
    EXPECT_EQ(tail.offsets(), (Offsets{6, 0}));
}

// What was written before them is missing, and that is to be said.
TEST(OutputTail, WhereNotSoManyAreKeptItBeginsAtTheBeginning) {
    TestFile out;
    TestFile err;
    out.append(std::string(8192, 'x') + "\none\ntwo\n");
    out.punch(0, 8192);
    EXPECT_EQ(begin_of(out, err, 2), (Offsets{8193, 0}));
    EXPECT_EQ(begin_of(out, err, 4), (Offsets{0, 0}));
}

TEST(OutputTail, WhatIsWrittenMeanwhileDoesNotMoveThem) {
    TestFile out;
    TestFile err;
    out.append("one\ntwo\n");
    OutputTail tail(out.reader(), err.reader(), 1);
    out.append("three\n");
    while (!tail.look()) {
    }
    EXPECT_EQ(tail.offsets(), (Offsets{4, 0}));
}

}  // namespace
}  // namespace postern::session
