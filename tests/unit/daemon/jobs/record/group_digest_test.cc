// Who a job's caller was, as one number.
#include "daemon/jobs/record/group_digest.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <vector>

namespace postern::jobs {
namespace {

constexpr GroupDigest::Key counting = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// The values of the paper's appendix and of its reference implementation, for messages 00 01 02 ...
TEST(GroupDigest, IsSipHash24) {
    const GroupDigest digest(counting);
    std::vector<std::uint8_t> message;
    EXPECT_EQ(digest.of_bytes(message), 0x726fdb47dd0e0e31U);
    for (std::uint8_t byte = 0; byte < 15; ++byte) message.push_back(byte);
    EXPECT_EQ(digest.of_bytes(message), 0xa129ca6149be45e5U);
    message.resize(8);
    EXPECT_EQ(digest.of_bytes(message), 0x93f5f5799a932462U);
}

TEST(GroupDigest, DiffersWhereTheGroupsOrTheKeyDo) {
    const GroupDigest digest(counting);
    std::set<std::uint64_t> seen;
    const std::vector<std::vector<gid_t>> sets = {
        {}, {0}, {1}, {0, 1}, {1, 2}, {256}, {1000, 2000}, {1000, 2001}, {999}, {65536}};
    for (const std::vector<gid_t>& groups : sets) seen.insert(digest(groups));
    EXPECT_EQ(seen.size(), sets.size());
    GroupDigest::Key other = counting;
    other[15] ^= 1;
    EXPECT_NE(GroupDigest(other)(sets[1]), digest(sets[1]));
    EXPECT_EQ(GroupDigest(counting)(sets[1]), digest(sets[1]));
}

}  // namespace
}  // namespace postern::jobs
