#include "daemon/session/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/unit/daemon/session/harness.h"

namespace postern::session {
namespace {

using test::TestFile;

constexpr std::size_t block = 4096;
constexpr std::size_t much = std::size_t{1} << 20;

TEST(OutputFile, ReadsWhatIsAppended) {
    TestFile file;
    OutputFile output(file.reader());
    EXPECT_TRUE(output.read(much).empty());
    file.append("one");
    EXPECT_EQ(output.read(much).bytes, "one");
    EXPECT_TRUE(output.read(much).empty());
    file.append("two");
    EXPECT_EQ(output.read(1).bytes, "t");
    EXPECT_EQ(output.read(much).bytes, "wo");
    EXPECT_EQ(output.offset(), 6U);
    EXPECT_EQ(output.size(), 6U);
}

TEST(OutputFile, BytesOfZeroAreBytes) {
    TestFile file;
    OutputFile output(file.reader());
    file.append(std::string(3 * block, '\0'));
    const auto piece = output.read(much);
    EXPECT_EQ(piece.missed, 0U);
    EXPECT_EQ(piece.bytes, std::string(3 * block, '\0'));
}

TEST(OutputFile, SaysWhatWasPunchedAwayBeforeItCame) {
    TestFile file;
    OutputFile output(file.reader());
    file.append(std::string(3 * block, 'a') + "rest");
    file.punch(0, 2 * block);
    const auto piece = output.read(much);
    EXPECT_EQ(piece.missed, 2 * block);
    EXPECT_EQ(piece.bytes, std::string(block, 'a') + "rest");
    EXPECT_TRUE(output.read(much).empty());
}

TEST(OutputFile, AHoleAfterDataIsZeros) {
    TestFile file;
    file.append(std::string(block, 'a') + std::string(2 * block, '\0') + "rest");
    file.punch(block, 2 * block);
    OutputFile output(file.reader());
    std::string all;
    std::uint64_t missed = 0;
    for (auto piece = output.read(block); !piece.empty(); piece = output.read(block)) {
        all += piece.bytes;
        missed += piece.missed;
    }
    EXPECT_EQ(missed, 0U);
    EXPECT_EQ(all, std::string(block, 'a') + std::string(2 * block, '\0') + "rest");
}

TEST(OutputFile, SkipsAHoleLongerThanItsRead) {
    TestFile file;
    OutputFile output(file.reader());
    file.append(std::string(64 * block, 'a') + "rest");
    file.punch(0, 64 * block);
    const auto hole = output.read(block);
    EXPECT_EQ(hole.missed, 64 * block);
    EXPECT_EQ(hole.bytes, "");
    EXPECT_EQ(output.read(block).bytes, "rest");
}

TEST(OutputFile, SaysWhenAllIsPunchedAway) {
    TestFile file;
    OutputFile output(file.reader());
    file.append(std::string(4 * block, 'a'));
    file.punch(0, 4 * block);
    const auto piece = output.read(much);
    EXPECT_EQ(piece.missed, 4 * block);
    EXPECT_EQ(piece.bytes, "");
    EXPECT_TRUE(output.read(much).empty());
    file.append("b");
    const auto next = output.read(much);
    EXPECT_EQ(next.missed, 0U);
    EXPECT_EQ(next.bytes, "b");
}

TEST(OutputFile, PastTheEndNothingComesUntilItHasGrownSoFar) {
    TestFile file;
    file.append("12345");
    OutputFile output(file.reader(), 7);
    EXPECT_TRUE(output.read(much).empty());
    EXPECT_EQ(output.beyond_end(), 5U);
    file.append("67");
    EXPECT_TRUE(output.read(much).empty());
    EXPECT_EQ(output.beyond_end(), std::nullopt);
    file.append("8");
    EXPECT_EQ(output.read(much).bytes, "8");
}

TEST(OutputFile, WhatCanNotBeReadIsMissedOnce) {
    TestFile file;
    file.append("12345");
    const std::string path = "/proc/self/fd/" + std::to_string(file.fd());
    OutputFile output(UniqueFd(::open(path.c_str(), O_WRONLY | O_CLOEXEC)));
    const auto piece = output.read(much);
    EXPECT_EQ(piece.missed, 5U);
    EXPECT_EQ(piece.bytes, "");
    EXPECT_TRUE(output.read(much).empty());
}

}  // namespace
}  // namespace postern::session
