// What users and groups are called, as far as that can be taken for nothing else.
#include "daemon/guard/audit/account_names.h"

#include <gtest/gtest.h>

#include <memory>

namespace postern {
namespace {

AccountNames some_names() {
    policy::Snapshot snapshot;
    snapshot.people.user_names = {
        {0, "root"}, {1000, "alice"}, {1001, "1000"}, {1002, "DOM\\al bo"}};
    snapshot.people.group_names = {{27, "sudo"}, {28, "27"}};
    AccountNames names;
    names.set_snapshot(std::make_shared<const policy::Snapshot>(std::move(snapshot)));
    return names;
}

TEST(AccountNames, AreThoseOfTheSnapshotAndWhatWasLearned) {
    AccountNames names = some_names();
    EXPECT_EQ(names.user(1000), "alice");
    EXPECT_EQ(names.group(27), "sudo");
    EXPECT_EQ(names.user(4242), "");
    EXPECT_EQ(names.group(4242), "");
    names.learn(4242, "bob");
    EXPECT_EQ(names.user(4242), "bob");
    names.learn(4242, "");
    EXPECT_EQ(names.user(4242), "");
    EXPECT_EQ(AccountNames().user(0), "");
}

TEST(AccountNames, AreKnownOrNot) {
    AccountNames names = some_names();
    names.learn(4242, "bob");
    for (const char* name : {"root", "alice", "DOM\\al bo", "bob"}) {
        EXPECT_TRUE(names.is_user(name)) << name;
    }
    for (const char* name : {"", "1000", "sudo", "typo", "ali"}) {
        EXPECT_FALSE(names.is_user(name)) << name;
    }
    EXPECT_FALSE(AccountNames().is_user("root"));
}

TEST(AccountNames, StandBesideTheNumber) {
    const AccountNames names = some_names();
    EXPECT_EQ(names.uid_text(1000), "uid 1000 (alice)");
    EXPECT_EQ(names.uid_text(1001), "uid 1001") << "its name is a number";
    EXPECT_EQ(names.uid_text(1002), "uid 1002 (\"DOM\\al bo\")");
    EXPECT_EQ(names.uid_text(4242), "uid 4242");
    EXPECT_EQ(names.gid_text(27), "27 (sudo)");
    EXPECT_EQ(names.gid_text(28), "28");
}

TEST(AccountNames, ThatCouldBeTakenForSomethingElseAreNone) {
    for (const char* name : {"alice", "4foo", "a.b-c_d$", "DOM\\alice", "al ice",
                             "alice@example.com", "0xyz", "\u00fcnal", "-a"}) {
        EXPECT_TRUE(is_plain_account_name(name)) << name;
    }
    for (const char* name : {"", "0", "1000", "-1", "+1", "0x1f", "0X1F", "0x", " root", "root ",
                             "ro\not", "\x1b[31mroot", "ro\u202eot", "\xff"}) {
        EXPECT_FALSE(is_plain_account_name(name)) << name;
    }
    EXPECT_FALSE(is_plain_account_name(std::string(257, 'a')));
}

TEST(AccountNames, LearnNotWithoutEnd) {
    AccountNames names;
    for (uid_t uid = 1; uid <= 5000; ++uid) names.learn(uid, "a" + std::to_string(uid));
    EXPECT_EQ(names.user(5000), "a5000");
    EXPECT_EQ(names.user(1), "") << "forgotten";
}

}  // namespace
}  // namespace postern
