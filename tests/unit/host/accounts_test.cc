#include "host/accounts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "tests/unit/host/fake_accounts.h"

namespace postern {
namespace {

TEST(Accounts, UsersAndGroupsByName) {
    const auto root = find_user("root");
    ASSERT_TRUE(root && *root);
    EXPECT_EQ((*root)->uid, 0U);
    EXPECT_EQ((*root)->name, "root");
    const auto by_uid = find_user(uid_t{0});
    ASSERT_TRUE(by_uid && *by_uid);
    EXPECT_EQ((*by_uid)->home, (*root)->home);
    const auto group = find_group("root");
    ASSERT_TRUE(group && *group);
    EXPECT_EQ(**group, 0U);
}

TEST(Accounts, WhatIsNotThereIsNoError) {
    const auto user = find_user("no-such-user-here");
    ASSERT_TRUE(user);
    EXPECT_FALSE(user->has_value());
    const auto group = find_group("no-such-group-here");
    ASSERT_TRUE(group);
    EXPECT_FALSE(group->has_value());
    const auto uid = find_user(uid_t{4123456789});
    ASSERT_TRUE(uid);
    EXPECT_FALSE(uid->has_value());
}

TEST(Accounts, AllThatThereAre) {
    // More of them than there is room for at first.
    std::vector<std::string> members;
    for (int i = 0; i < 2000; ++i) members.push_back("member" + std::to_string(i));
    const FakeAccounts accounts(
        {{"root", 0, 0, "/root", "/bin/sh"}, {"alice", 1000, 1000, "/", "/bin/sh"}},
        {{"many", 7, members}, {"none", 8, {}}});
    const auto users = all_users();
    ASSERT_EQ(users.size(), 2U);
    EXPECT_EQ(users[0].name, "root");
    EXPECT_EQ(users[1].uid, 1000U);
    const auto groups = all_groups();
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_EQ(groups[0].members, members);
    EXPECT_EQ(groups[1].gid, 8U);
    EXPECT_TRUE(groups[1].members.empty());
    EXPECT_EQ(all_users().size(), 2U) << "once more";

    const auto many = find_group_by_id(7);
    ASSERT_TRUE(many && *many);
    EXPECT_EQ((*many)->members, members);
    const auto missing = find_group_by_id(9);
    ASSERT_TRUE(missing);
    EXPECT_FALSE(*missing);
}

TEST(Accounts, RootIsAmongThoseOfThisMachine) {
    const auto users = all_users();
    EXPECT_TRUE(std::ranges::any_of(users, [](const Account& user) { return user.uid == 0; }));
    const auto groups = all_groups();
    EXPECT_TRUE(std::ranges::any_of(groups, [](const Group& group) { return group.gid == 0; }));
}

TEST(Accounts, GroupsAreCompleteAscendingAndUnique) {
    // More of them than there is room for at first, and in no order.
    std::vector<FakeGroup> lists;
    std::vector<gid_t> expected;
    for (gid_t gid = 1000; gid < 1200; ++gid) expected.push_back(gid);
    for (const gid_t gid : expected) {
        lists.push_back({"g" + std::to_string(gid), 1000 + (gid * 7) % 200, {"other", "busy"}});
    }
    {
        const FakeAccounts accounts({{"busy", 1000, 1000, "/", "/bin/sh"}}, lists);
        EXPECT_EQ(groups_of("busy", 1000), expected);
        EXPECT_EQ(groups_of("stranger", 7), std::vector<gid_t>{7});
        expected.push_back(4242);
        EXPECT_EQ(groups_of("busy", 4242), expected);
    }
    EXPECT_EQ(groups_of("no-such-user-here", 7), std::vector<gid_t>{7});
    const auto own = process_groups();
    EXPECT_TRUE(std::binary_search(own.begin(), own.end(), getegid()));
}

TEST(Accounts, Ids) {
    EXPECT_EQ(parse_id("0"), 0U);
    EXPECT_EQ(parse_id("1000"), 1000U);
    EXPECT_EQ(parse_id("2147483648"), 2147483648U);
    EXPECT_EQ(parse_id("4294967294"), 4294967294U);
    for (const char* text : {"", "4294967295", "4294967296", "99999999999999999999", "-1", "+1",
                             "01", "00", " 1", "1 ", "1a", "0x1", "root"}) {
        EXPECT_EQ(parse_id(text), std::nullopt) << text;
    }
}

}  // namespace
}  // namespace postern
