#include "base/nearest_word.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace postern {
namespace {

constexpr std::array<std::string_view, 6> words = {"run",  "list",      "check",
                                                   "ping", "log-level", "status"};

TEST(NearestWord, ForgivesASlipOrTwo) {
    EXPECT_EQ(nearest_word("list", words), "list");
    EXPECT_EQ(nearest_word("lst", words), "list");
    EXPECT_EQ(nearest_word("lists", words), "list");
    EXPECT_EQ(nearest_word("lisr", words), "list");
    EXPECT_EQ(nearest_word("lits", words), "list");
    EXPECT_EQ(nearest_word("rn", words), "run");
    EXPECT_EQ(nearest_word("nru", words), "");
    EXPECT_EQ(nearest_word("loglevl", words), "log-level");
    EXPECT_EQ(nearest_word("stauts", words), "status");
    EXPECT_EQ(nearest_word("sttauss", words), "status");
}

TEST(NearestWord, DoesNotGuess) {
    EXPECT_EQ(nearest_word("", words), "");
    EXPECT_EQ(nearest_word("ls", words), "");
    EXPECT_EQ(nearest_word("nonsense", words), "");
    EXPECT_EQ(nearest_word("listing", words), "");
    EXPECT_EQ(nearest_word(std::string(1'000'000, 'l'), words), "");
    EXPECT_EQ(nearest_word("list", {}), "");
}

}  // namespace
}  // namespace postern
