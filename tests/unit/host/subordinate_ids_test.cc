#include "host/subordinate_ids.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace postern {
namespace {

using Lines = std::vector<SubordinateIds>;
using Ids = std::vector<id_t>;

TEST(SubordinateIds, AreByNameOrNumberAndOfAllLines) {
    EXPECT_EQ(parse_subordinate_ids("alice:100000:65536\n1001:165536:65536\nalice:300000:1\n"),
              (Lines{{"alice", 100000, 165535, 1},
                     {"1001", 165536, 231071, 2},
                     {"alice", 300000, 300000, 3}}));
    EXPECT_EQ(parse_subordinate_ids("alice:100000:65536"), (Lines{{"alice", 100000, 165535, 1}}))
        << "no newline at the end";
    EXPECT_EQ(parse_subordinate_ids(""), Lines{});
}

TEST(SubordinateIds, MayOverlap) {
    EXPECT_EQ(parse_subordinate_ids("alice:1000:10\nbob:1005:10\n"),
              (Lines{{"alice", 1000, 1009, 1}, {"bob", 1005, 1014, 2}}));
}

TEST(SubordinateIds, NumbersAreAsTheToolsReadThem) {
    const std::vector<std::pair<std::string, Lines>> rows = {
        {"a:0x186a0:0x10", {{"a", 100000, 100015, 1}}},
        {"a:010:2", {{"a", 8, 9, 1}}},
        {"a: 100:2", {{"a", 100, 101, 1}}},
        {"a:+100:2", {{"a", 100, 101, 1}}},
        {"a:4294967294:1", {{"a", 4294967294U, 4294967294U, 1}}},
        {"a:4294967290:65536", {{"a", 4294967290U, 4294967294U, 1}}},
        {"a:1:18446744073709551615", {{"a", 1, 4294967294U, 1}}},
        {"a:0:1", {{"a", 0, 0, 1}}},
    };
    for (const auto& [text, lines] : rows) EXPECT_EQ(parse_subordinate_ids(text), lines) << text;
}

TEST(SubordinateIds, WhatIsNoRangeIsPassedOver) {
    for (const char* text :
         {"# alice:100000:65536x", "alice", "alice:1", ":1:2", "alice::2", "alice:1:", "alice:x:2",
          "alice:1:2:3", "alice:-1:2", "alice:1:-2", "alice:1:0", "alice:4294967295:1",
          "alice:99999999999999999999:1", "alice:1:2 ", "\n\n", "::"}) {
        EXPECT_EQ(parse_subordinate_ids(text), Lines{}) << text;
    }
    EXPECT_EQ(parse_subordinate_ids("bad\n\nbob:5:1\n"), (Lines{{"bob", 5, 5, 3}}));
}

TEST(SubordinateIdSources, AreFilesUnlessSaid) {
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"", "files"},
        {"passwd: files sss\n", "files"},
        {"# subid: sss\n", "files"},
        {"subid: files\n", "files"},
        {"subid:\tfiles # as ever\n", "files"},
        {"passwd: files\nsubid: sss\n", "sss"},
        {"  SUBID:  sss   files\n", "sss files"},
        {"subid: files sss\n", "files sss"},
        {"subid:\n", ""},
        {"subid: sss\nsubid: files\n", "sss"},
        {"subid: sss", "sss"},
        {"subidx: sss\n", "files"},
    };
    for (const auto& [text, sources] : rows) {
        EXPECT_EQ(subordinate_id_sources(text), sources) << text;
    }
}

TEST(LastSystemUid, IsOfLoginDefs) {
    EXPECT_EQ(last_system_uid(""), 999U);
    EXPECT_EQ(last_system_uid("#SYS_UID_MAX 100\nUID_MIN\t\t 1000\n"), 999U);
    EXPECT_EQ(last_system_uid("UID_MIN 500\n"), 499U);
    EXPECT_EQ(last_system_uid("UID_MIN 1000\nSYS_UID_MAX 899\n"), 899U);
    EXPECT_EQ(last_system_uid("SYS_UID_MAX many\nUID_MIN 0\n"), 0U);
}

TEST(FirstOutsideIds, OfEachLine) {
    const std::vector<std::pair<std::string, std::optional<Ids>>> rows = {
        {"         0          0 4294967295\n", Ids{0}},
        {"         0       1000          1\n         1     100000      65536\n", Ids{1000, 100000}},
        {"0 1000 1", Ids{1000}},
        {"0 4294967295 1\n", Ids{4294967295U}},
        {"", std::nullopt},
        {"\n", std::nullopt},
        {"0 1000\n", std::nullopt},
        {"0 1000 1 1\n", std::nullopt},
        {"0 -1 1\n", std::nullopt},
        {"0 4294967296 1\n", std::nullopt},
        {"0 1000 1\nx\n", std::nullopt},
    };
    for (const auto& [text, ids] : rows) EXPECT_EQ(first_outside_ids(text), ids) << text;
}

}  // namespace
}  // namespace postern
