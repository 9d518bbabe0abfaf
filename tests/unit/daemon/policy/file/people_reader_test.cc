// What the machine says of users: in place of its files those of a test, and its accounts.
#include "daemon/policy/file/people_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "daemon/policy/file/loader.h"
#include "daemon/policy/file/range_warnings.h"
#include "tests/unit/daemon/policy/file/support.h"
#include "tests/unit/host/fake_accounts.h"
#include "tests/unit/temporary_directory.h"

namespace postern::policy {
namespace {

using Strings = std::vector<std::string>;
using Ranges = std::vector<UidRange>;

class PeopleReaderTest : public testing::Test {
  protected:
    // Those of FakeAccounts, and more.
    PeopleReaderTest()
        : accounts_(
              {{"root", 0, 0, "/root", "/bin/sh"},
               {"member", 1001, 1001, "/", "/bin/sh"},
               {"primary", 1002, 2000, "/", "/bin/sh"},
               {"20001", 1003, 1003, "/", "/bin/sh"},
               {"other", 1004, 1004, "/", "/bin/sh"}},
              {{"root", 0, {}}, {"extra", 2000, {"member", "missing"}}, {"empty", 2001, {}}}) {
        options_.system_settings = etc_.path();
    }

    void deny(const std::string& action, std::vector<Subject> subjects) {
        std::vector<Rule> rules;
        for (Subject& subject : subjects) {
            rules.push_back({std::move(subject), "deny it", "/a.json:3"});
        }
        snapshot_.actions[action].deny = std::move(rules);
    }
    [[nodiscard]] People read() const { return read_people(options_, snapshot_); }

    const TemporaryDirectory etc_;
    const FakeAccounts accounts_;
    LoadOptions options_ = root_options();
    Snapshot snapshot_;
};

TEST_F(PeopleReaderTest, WithoutAnyFile) {
    const People people = read();
    EXPECT_EQ(people.accounts, (std::vector<uid_t>{0, 1001, 1002, 1003, 1004}));
    EXPECT_TRUE(people.ranges.all().empty());
    EXPECT_TRUE(people.ranges_known);
    EXPECT_TRUE(people.members.empty());
    EXPECT_EQ(people.last_system_uid, 999U);
    EXPECT_EQ(people.warnings, Strings{});
    EXPECT_EQ(
        people.user_names,
        (std::map<uid_t, std::string>{
            {0, "root"}, {1001, "member"}, {1002, "primary"}, {1003, "20001"}, {1004, "other"}}));
    EXPECT_EQ(people.group_names,
              (std::map<gid_t, std::string>{{0, "root"}, {2000, "extra"}, {2001, "empty"}}));
}

TEST_F(PeopleReaderTest, OwnersAreNamesAndNumbersButNeverRoot) {
    etc_.write("subuid",
               "member:100000:10\n1004:100010:10\nroot:100020:10\n0:100030:10\n"
               "20001:100040:10\ngone:100050:10\n5000:100060:10\n");
    const People people = read();
    EXPECT_EQ(people.ranges.all(), (Ranges{{100000, 100009, 1001},
                                           {100010, 100019, 1004},
                                           // Both readings, as the tools take it.
                                           {100040, 100049, 1003},
                                           {100040, 100049, 20001},
                                           {100050, 100059, std::nullopt},
                                           {100060, 100069, 5000}}));
    EXPECT_EQ(people.warnings, Strings{});
}

TEST_F(PeopleReaderTest, MembersAreThoseOfGroupsThatAreDenied) {
    deny("a", {{.everyone = false, .user = {}, .group = 2000},
               {.everyone = false, .user = 1001, .group = {}}});
    deny("b", {{.everyone = false, .user = {}, .group = 2001}});
    const People people = read();
    EXPECT_EQ(people.members,
              (std::map<gid_t, std::vector<uid_t>>{{2000, {1001, 1002}}, {2001, {}}}));
    EXPECT_EQ(people.warnings, Strings{}) << "nobody has subordinate ids";
}

TEST_F(PeopleReaderTest, SaysWhatADenyByGroupCannotDo) {
    deny("a", {{.everyone = false, .user = {}, .group = 2000},
               {.everyone = false, .user = {}, .group = 4444}});
    const Strings expected = {
        "/a.json:3: deny it: the group database lists no members of this group, so the rule "
        "applies only to processes that have it, and users with subordinate ids can drop it; deny "
        "the users "
        "instead"};
    etc_.write("subgid", "member:100000:10\n");
    EXPECT_EQ(read().warnings, expected);
}

TEST_F(PeopleReaderTest, RangesFromElsewhereAreNotKnown) {
    etc_.write("nsswitch.conf", "passwd: files\nsubid: sss\n");
    etc_.write("subuid", "member:100000:10\n");
    const People people = read();
    EXPECT_FALSE(people.ranges_known);
    EXPECT_TRUE(people.ranges.all().empty());
    EXPECT_EQ(people.warnings,
              Strings{etc_ / "nsswitch.conf" +
                      ": subordinate ids come from \"sss\", and only those from files can "
                      "be read: it is not known which user a uid without an account belongs to, "
                      "and deny rules that name a user or group apply to all such uids"});
}

TEST_F(PeopleReaderTest, AFileThatCannotBeReadMakesRangesUnknown) {
    etc_.make_folder("subuid");
    const People people = read();
    EXPECT_FALSE(people.ranges_known);
    EXPECT_EQ(people.warnings,
              Strings{etc_ / "subuid" + ": can't be read: Is a directory; it is not "
                                        "known which user a uid without an account belongs to"});
}

TEST_F(PeopleReaderTest, SystemAccountsEndWhereLoginDefsSays) {
    etc_.write("login.defs", "SYS_UID_MAX 499\n");
    EXPECT_EQ(read().last_system_uid, 499U);
}

TEST_F(PeopleReaderTest, WarnsOfRangesAndNotWithoutEnd) {
    etc_.write("subuid", "member:1000:3\n");
    EXPECT_EQ(
        read().warnings,
        Strings{etc_ / "subuid" + ":1: 1000-1002 of \"member\" covers the account \"member\" "
                                  "(1001), which its owner can then become; assign other ids"});
    etc_.write("subuid", "");
    etc_.write("subgid", "member:1999:3\n");
    EXPECT_EQ(
        read().warnings,
        Strings{etc_ / "subgid" + ":1: 1999-2001 of \"member\" covers the group \"extra\" "
                                  "(2000), which its owner can then become; assign other ids"});
    std::string many;
    for (int i = 0; i < 100; ++i) many += "member:1001:1\n";
    etc_.write("subgid", "");
    etc_.write("subuid", many);
    const Strings warnings = read().warnings;
    ASSERT_EQ(warnings.size(), 21U);
    EXPECT_EQ(warnings.back(), "and 80 more about subordinate ids");
}

TEST_F(PeopleReaderTest, AreLoadedWithTheActionFiles) {
    const TemporaryDirectory actions;
    options_.owner = geteuid();
    options_.folders = {actions.path()};
    actions.write("a.json", R"({"summary": "s", "exec": ["/usr/bin/true"], "allow": [],
                                "deny": [{"group": "extra"}]})");
    etc_.write("subuid", "member:100000:10\n");
    const auto snapshot = load(options_);
    ASSERT_TRUE(snapshot) << snapshot.error().message;
    EXPECT_EQ(snapshot->people.ranges.all(), (Ranges{{100000, 100009, 1001}}));
    EXPECT_EQ(snapshot->people.members.at(2000), (std::vector<uid_t>{1001, 1002}));
}

TEST(RangeWarnings, NameWhatIsNotSafe) {
    const NamedIds taken = {{0, "root"}, {1000, "alice"}, {1001, "bob"}};
    struct Row {
        std::string text;
        Strings warnings;
    };
    const Row rows[] = {
        {"alice:100000:65536\nbob:165536:65536\n", {}},
        {"alice:100000:65536\nalice:100000:65536\n", {}},
        {"alice:1:999\n", {}},
        {"alice:0:1\n",
         {"f:1: 0-0 of \"alice\" covers the account \"root\" (0), which its owner can then become; "
          "assign other ids"}},
        {"alice:999:5\n",
         {"f:1: 999-1003 of \"alice\" covers the account \"alice\" (1000), which its owner "
          "can then become; assign other ids"}},
        {"bob:120000:1\nalice:100000:65536\nbob:165535:1\n",
         {"f:1: 120000-120000 of \"bob\" overlaps 100000-165535 of \"alice\" in line 2: a "
          "deny rule that names one of them applies to both; assign other ids",
          "f:3: 165535-165535 of \"bob\" overlaps 100000-165535 of \"alice\" in line 2: a "
          "deny rule that names one of them applies to both; assign other ids"}},
        {"a:61183:1\nb:65520:10\n", {}},
        {"a:60000:1185\n",
         {"f:1: 60000-61184 of \"a\" covers ids from 61184 to 65519, which systemd gives to "
          "services with DynamicUser; assign other ids"}},
        {"a:65519:1\n",
         {"f:1: 65519-65519 of \"a\" covers ids from 61184 to 65519, which systemd gives to "
          "services with DynamicUser; assign other ids"}},
        {"a:524287:1\n", {}},
        {"a:524288:1\n",
         {"f:1: 524288-524288 of \"a\" covers ids from 524288 to 1878982655, which systemd gives "
          "to containers; assign other ids"}},
        {"a:1878982656:1\n", {}},
    };
    for (const Row& row : rows) {
        EXPECT_EQ(range_warnings("f", parse_subordinate_ids(row.text), taken, "account"),
                  row.warnings)
            << row.text;
    }
}

}  // namespace
}  // namespace postern::policy
