// "user", "group", "groups": whom a job runs as, and whose groups it must not lend.
//
// The accounts are those of FakeAccounts and no others: daemon (1), bin (2), sys (3), and member
// (1001), who is in the group extra (2000) too.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/daemon/policy/file/support.h"
#include "tests/unit/host/fake_accounts.h"

namespace postern::policy {
namespace {

struct RunAsOutcome {
    std::string error;
    Action action;
};

// With the accounts that there are.
RunAsOutcome parse_among(const std::string& more, const LoadOptions& options,
                         const std::string& allow = "[]") {
    const std::string text =
        "{\"summary\": \"s\", \"exec\": [\"/usr/bin/true\"], \"allow\": " + allow +
        (more.empty() ? "" : ",\n" + more) + "}";
    auto action = parse_action("a", "/f.json", text, options);
    if (!action) return {action.error().message, {}};
    return {"", std::move(action).value()};
}

RunAsOutcome parse_run_as(const std::string& more, const LoadOptions& options,
                          const std::string& allow = "[]") {
    const FakeAccounts accounts;
    return parse_among(more, options, allow);
}

std::string variable_of(const Action& action, const std::string& name) {
    for (const auto& [variable, text] : action.environment) {
        if (variable == name) return text;
    }
    return "none";
}

using Groups = std::vector<gid_t>;

TEST(RunAs, RootUnlessSaid) {
    const RunAsOutcome root = parse_run_as("", root_options());
    ASSERT_EQ(root.error, "");
    EXPECT_EQ(root.action.uid, 0U);
    EXPECT_EQ(root.action.gid, 0U);
    EXPECT_EQ(root.action.groups, Groups{0});
}

TEST(RunAs, ByNameAndNumber) {
    for (const char* user : {"\"daemon\"", "1", "\"1\""}) {
        const RunAsOutcome got = parse_run_as("\"user\": " + std::string(user), root_options());
        ASSERT_EQ(got.error, "");
        EXPECT_EQ(got.action.uid, 1U);
        EXPECT_EQ(got.action.gid, 1U);
        EXPECT_EQ(got.action.groups, Groups{1});
        EXPECT_TRUE(std::find(got.action.environment.begin(), got.action.environment.end(),
                              std::pair<std::string, std::string>("USER", "daemon")) !=
                    got.action.environment.end());
    }
    const RunAsOutcome group = parse_run_as(R"("user": "daemon", "group": "bin")", root_options());
    ASSERT_EQ(group.error, "");
    EXPECT_EQ(group.action.gid, 2U);
    EXPECT_EQ(group.action.groups, Groups{2});
    const RunAsOutcome member = parse_run_as(R"("user": "member")", root_options());
    ASSERT_EQ(member.error, "");
    EXPECT_EQ(member.action.groups, (Groups{1001, 2000}));
    const RunAsOutcome groups =
        parse_run_as(R"("user": "daemon", "group": "sys", "groups": ["bin", 4000, "sys", 4000])",
                     root_options());
    ASSERT_EQ(groups.error, "");
    EXPECT_EQ(groups.action.gid, 3U);
    EXPECT_EQ(groups.action.groups, (Groups{2, 3, 4000}));
    const RunAsOutcome none = parse_run_as(R"("groups": [])", root_options());
    ASSERT_EQ(none.error, "");
    EXPECT_EQ(none.action.groups, Groups{0});
}

// An account of digits is that account, and a group of digits that group.
TEST(RunAs, ATextIsANameFirst) {
    const FakeAccounts accounts(
        {{"root", 0, 0, "/root", "/bin/sh"},
         {"20231234", 5001, 5001, "/home/student", "/bin/sh"},
         {"other", 20231234, 6001, "/home/other", "/bin/sh"},
         {"5002", 5002, 5002, "/home/same", "/bin/sh"}},
        {{"root", 0, {}}, {"77", 7001, {}}, {"6001", 6001, {}}, {"students", 7002, {"20231234"}}});
    const auto user = [](const std::string& text) {
        const RunAsOutcome got = parse_among("\"user\": " + text, root_options());
        EXPECT_EQ(got.error, "") << text;
        return got.action;
    };
    const Action named = user("\"20231234\"");
    EXPECT_EQ(named.uid, 5001U);
    EXPECT_EQ(named.gid, 5001U);
    EXPECT_EQ(named.groups, (Groups{5001, 7002}));
    EXPECT_EQ(variable_of(named, "HOME"), "/home/student");
    EXPECT_EQ(variable_of(named, "USER"), "20231234");
    EXPECT_THAT(named.warnings,
                testing::ElementsAre(
                    "/f.json:2:9: user: \"20231234\" is taken as the user of that name, uid 5001, "
                    "not as uid 20231234; if you mean that id, write the "
                    "number without quotes"));
    const Action numbered = user("20231234");
    EXPECT_EQ(numbered.uid, 20231234U);
    EXPECT_EQ(variable_of(numbered, "USER"), "other");
    EXPECT_THAT(numbered.warnings, testing::IsEmpty());
    // Both readings are one.
    const Action same = user("\"5002\"");
    EXPECT_EQ(same.uid, 5002U);
    EXPECT_THAT(same.warnings, testing::IsEmpty());
    // Nobody's name.
    const Action nobody = user("\"5001\"");
    EXPECT_EQ(nobody.uid, 5001U);
    EXPECT_EQ(variable_of(nobody, "USER"), "20231234");
    EXPECT_THAT(nobody.warnings,
                testing::ElementsAre("/f.json:2:9: user: no user is named \"5001\", "
                                     "so it is taken as a uid; write the number without quotes"));

    const RunAsOutcome groups =
        parse_among(R"("group": "77", "groups": [77, "6001", "78"])", root_options());
    ASSERT_EQ(groups.error, "");
    EXPECT_EQ(groups.action.gid, 7001U);
    EXPECT_EQ(groups.action.groups, (Groups{77, 78, 6001, 7001}));
    EXPECT_THAT(groups.action.warnings,
                testing::ElementsAre(
                    "/f.json:2:10: group: \"77\" is taken as the group of that name, gid 7001, "
                    "not as gid 77; if you mean that id, write the number without quotes",
                    "/f.json:2:39: groups[2]: no group is named \"78\", so it is taken as a gid; "
                    "write the number without quotes"));

    const RunAsOutcome rules = parse_among(
        "\"deny\": [{\"group\": \"77\"}]", root_options(),
        R"([{"user": "20231234"}, {"user": 20231234}, {"user": "20231234", "group": "6001"}])");
    ASSERT_EQ(rules.error, "");
    EXPECT_EQ(rules.action.allow[0].subject.user, 5001U);
    EXPECT_EQ(rules.action.allow[1].subject.user, 20231234U);
    EXPECT_EQ(rules.action.allow[2].subject.user, 5001U);
    EXPECT_EQ(rules.action.allow[2].subject.group, 6001U);
    EXPECT_EQ(rules.action.deny[0].subject.group, 7001U);
    EXPECT_EQ(rules.action.warnings.size(), 3U);
}

// Two accounts of one uid: the one that the file names counts, wherever it stands.
TEST(RunAs, AnAccountIsItselfAndNotTheFirstOfItsUid) {
    const FakeAccounts accounts(
        {{"root", 0, 0, "/root", "/bin/bash"},
         {"toor", 0, 9, "/toor", "/bin/sh"},
         {"backup", 34, 34, "/var/backups", "/bin/no"},
         {"backup2", 34, 35, "/srv/backup2", "/bin/sh"},
         {"4711", 34, 36, "/srv/4711", "/bin/sh"}},
        {{"root", 0, {}}, {"disk", 6, {"backup"}}, {"tape", 26, {"backup2", "toor"}}});
    for (const bool systemd : {false, true}) {
        LoadOptions options = root_options();
        options.systemd = systemd;
        const RunAsOutcome second = parse_among(R"("user": "backup2")", options);
        ASSERT_EQ(second.error, "");
        EXPECT_EQ(second.action.uid, 34U);
        EXPECT_EQ(second.action.gid, 35U);
        EXPECT_EQ(second.action.groups, (Groups{26, 35}));
        EXPECT_EQ(variable_of(second.action, "HOME"), "/srv/backup2");
        EXPECT_EQ(variable_of(second.action, "USER"), "backup2");
        EXPECT_EQ(variable_of(second.action, "LOGNAME"), "backup2");
        EXPECT_EQ(variable_of(second.action, "SHELL"), "/bin/sh");
        EXPECT_EQ(second.action.account, systemd ? "backup2" : "");
        for (const char* const first : {"\"backup\"", "34"}) {
            const RunAsOutcome got = parse_among("\"user\": " + std::string(first), options);
            ASSERT_EQ(got.error, "");
            EXPECT_EQ(got.action.groups, (Groups{6, 34}));
            EXPECT_EQ(variable_of(got.action, "USER"), "backup");
            EXPECT_EQ(got.action.account, "");
        }
        const RunAsOutcome toor = parse_among(R"("user": "toor")", options);
        ASSERT_EQ(toor.error, "");
        EXPECT_EQ(toor.action.groups, (Groups{9, 26}));
        EXPECT_EQ(variable_of(toor.action, "HOME"), "/toor");
        EXPECT_EQ(toor.action.account, "");  // nothing is looked up for uid 0
        // What systemd can't be told.
        const std::string both =
            "/f.json:2:9: user: has uid 34, like \"backup\", which is found first";
        EXPECT_EQ(parse_among(R"("user": "4711")", options).error,
                  systemd
                      ? both +
                            ", and systemd would take its name as a number; give it a uid of its "
                            "own"
                      : "");
        EXPECT_EQ(
            parse_among(R"("user": "backup2", "groups": ["tape", "disk", 35])", options).error,
            systemd ? both +
                          "; systemd then can't give its jobs any group that it "
                          "does not have, so remove those groups, or give it a uid of its own"
                    : "");
        EXPECT_EQ(parse_among(R"("user": "backup2", "group": "tape", "groups": [])", options).error,
                  "");
    }
    // The kernel can't tell them apart.
    const RunAsOutcome rule = parse_among("", root_options(), R"([{"user": "backup2"}])");
    ASSERT_EQ(rule.error, "");
    EXPECT_EQ(rule.action.allow[0].subject.user, 34U);
    EXPECT_THAT(rule.action.warnings,
                testing::ElementsAre("/f.json:1:64: allow[0].user: \"backup2\" and \"backup\" are "
                                     "both uid 34, so the rule applies to both of them"));
    LoadOptions own = root_options();
    own.owner = 34;
    own.gid = 34;
    own.groups = {34};
    const RunAsOutcome mine = parse_among(R"("user": "backup2")", own);
    ASSERT_EQ(mine.error, "");
    EXPECT_EQ(variable_of(mine.action, "HOME"), "/srv/backup2");
}

TEST(RunAs, Mistakes) {
    const auto error = [](const std::string& more) {
        return parse_run_as(more, root_options()).error;
    };
    EXPECT_EQ(
        error("\"user\": \"no-such-user\""),
        "/f.json:2:9: user: there is no user \"no-such-user\"; correct the name or create the "
        "user");
    EXPECT_EQ(
        error("\"user\": 4123456789"),
        "/f.json:2:9: user: uid 4123456789 has no account; create one, because its groups and home "
        "directory are needed");
    EXPECT_EQ(error("\"user\": 4294967295"),
              "/f.json:2:9: user: 4294967295 is not a valid id; use one from 0 to "
              "4294967294");
    EXPECT_EQ(
        error("\"group\": \"no-such-group\""),
        "/f.json:2:10: group: there is no group \"no-such-group\"; correct the name or create "
        "the group");
    EXPECT_EQ(error("\"groups\": [\"bin\", \"no-such-group\"]"),
              "/f.json:2:19: groups[1]: there is no group \"no-such-group\"; correct the name or "
              "create the group");
    EXPECT_EQ(error("\"groups\": \"bin\""),
              "/f.json:2:11: groups: must be a list, not a string; write [\"bin\"]");
}

// An ordinary user's guard runs every job as that user, with the groups that it has itself.
// systemd gives a job all groups of its user (initgroups(3)); a file can't ask for fewer.
TEST(RunAs, UnderSystemdNoGroupOfTheUserIsLeftOut) {
    LoadOptions options = root_options();
    options.systemd = true;
    const std::string user = R"("user": "member", "group": "member", "groups": )";
    EXPECT_EQ(parse_run_as(user + "[2000]", options).error, "");
    EXPECT_EQ(parse_run_as(user + "[3, \"extra\", \"member\"]", options).error, "");
    // Root has what root takes.
    EXPECT_EQ(parse_run_as(R"("groups": ["bin"])", options).error, "");

    const std::string fewer = R"("user": "member", "groups": [])";
    EXPECT_EQ(parse_run_as(fewer, options).error,
              "/f.json:2:29: groups: leaves out gid 2000, a group of the user \"member\", which "
              "systemd gives to every job of that user; name it too, or use another user");
    EXPECT_EQ(parse_run_as(fewer, root_options()).error, "") << "not without systemd";
}

TEST(RunAs, AnOrdinaryUsersGuard) {
    const RunAsOutcome own = parse_run_as("", user_options());
    ASSERT_EQ(own.error, "");
    EXPECT_EQ(own.action.uid, 1000U);
    EXPECT_EQ(own.action.gid, 1000U);
    EXPECT_EQ(own.action.groups, (Groups{27, 1000}));
    EXPECT_EQ(
        parse_run_as(R"("user": 1000, "group": "1000", "groups": [27])", user_options()).error, "");
    EXPECT_EQ(parse_run_as(R"("user": "root")", user_options()).error,
              "/f.json:2:9: user: uid 0 is not uid 1000, as which this "
              "daemon runs every job; remove it");
    EXPECT_EQ(parse_run_as(R"("group": 27)", user_options()).error,
              "/f.json:2:10: group: gid 27 is not gid 1000, with which this "
              "daemon runs every job; remove it");
    for (const char* groups : {"[]", "[27, 28]", "[1000]", "[0]"}) {
        EXPECT_EQ(parse_run_as("\"groups\": " + std::string(groups), user_options()).error,
                  "/f.json:2:11: groups: these are not the daemon's own groups, with which "
                  "it runs every job; remove it");
    }
}

// A job can be traced by who is its user, who so gets its groups. A deny rule is no wall: who has
// subordinate ids is more than one uid.
TEST(RunAs, GroupsAreLentOnlyToWhomARuleNamesByUser) {
    const std::string bin = R"("user": "daemon", "groups": ["bin"])";
    const auto nobody_named = [](const std::string& rule, const std::string& place) {
        return "/f.json:2:" + place + ": gid 2 is not a group of the user \"daemon\", so only " +
               "callers that a rule names by user may run this, but \"" + rule +
               "\" names no user: a caller with subordinate ids could take the group from the job; "
               "name "
               "the users, or remove the group";
    };
    const auto itself = [](const std::string& rule) {
        return "/f.json:2:29: groups: gid 2 is not a group of the user \"daemon\", whom \"" + rule +
               "\" allows to run this and who could then take the group from the job; remove the "
               "group or "
               "that rule";
    };
    struct Row {
        std::string allow;
        std::string more;
        std::string error;
        Groups lent;
    };
    const Row rows[] = {
        {R"([{"user": "daemon"}])", bin, itself("allow user \"daemon\""), {}},
        {R"([{"user": 1}])", bin, itself("allow user 1"), {}},
        {R"([{"user": "daemon", "group": "sys"}])",
         bin,
         itself("allow user \"daemon\" and group \"sys\""),
         {}},
        {R"([{"user": "root"}, {"everyone": true}])",
         bin,
         nobody_named("allow everyone", "29: groups"),
         {}},
        {R"([{"group": "daemon"}])", bin, nobody_named("allow group \"daemon\"", "29: groups"), {}},
        {R"([{"group": "sys"}])", bin, nobody_named("allow group \"sys\"", "29: groups"), {}},
        {R"([{"unit": "a.service"}])",
         bin,
         nobody_named("allow unit \"a.service\"", "29: groups"),
         {}},
        {R"([{"everyone": true}])",
         R"("user": "daemon", "group": "bin")",
         nobody_named("allow everyone", "28: group"),
         {}},
        // A deny rule does not help.
        {R"([{"everyone": true}])",
         bin + R"(, "deny": [{"user": "daemon"}])",
         nobody_named("allow everyone", "29: groups"),
         {}},
        {R"([{"user": "daemon"}])",
         bin + R"(, "deny": [{"user": "daemon"}])",
         itself("allow user \"daemon\""),
         {}},
        // Who is let in has the group already, or is somebody else.
        {R"([{"user": "daemon", "group": "bin"}])", bin, "", {2}},
        {R"([{"user": "root"}])", bin, "", {2}},
        {R"([{"user": "sys", "group": "sys"}, {"user": 3}])", bin, "", {2}},
        {R"([])", bin, "", {2}},
        // Nothing is lent.
        {R"([{"everyone": true}])", R"("user": "daemon")", "", {}},
        {R"([{"everyone": true}])", R"("user": "member")", "", {}},
        {R"([{"everyone": true}])", R"("user": "daemon", "groups": ["daemon"])", "", {}},
        {R"([{"everyone": true}])", R"("groups": ["bin"])", "", {}},  // root
    };
    for (const Row& row : rows) {
        const RunAsOutcome got = parse_run_as(row.more, root_options(), row.allow);
        EXPECT_EQ(got.error, row.error) << row.allow << ' ' << row.more;
        EXPECT_EQ(got.action.lent, row.lent) << row.allow << ' ' << row.more;
    }
}

}  // namespace
}  // namespace postern::policy
