#include "daemon/policy/verdict.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace postern::policy {
namespace {

constexpr id_t no_id = std::numeric_limits<id_t>::max();

Rule rule(const std::string& text, Subject subject) {
    return {subject, text, "/a.json:" + text};
}
Rule everyone() {
    return rule("everyone", {.everyone = true, .user = {}, .group = {}});
}
Rule user(uid_t uid) {
    return rule("user " + std::to_string(uid), {.everyone = false, .user = uid, .group = {}});
}
Rule group(gid_t gid) {
    return rule("group " + std::to_string(gid), {.everyone = false, .user = {}, .group = gid});
}
Rule user_and_group(uid_t uid, gid_t gid) {
    return rule("both", {.everyone = false, .user = uid, .group = gid});
}

Action action(const std::string& name, std::vector<Rule> allow, std::vector<Rule> deny = {}) {
    Action made;
    made.description.name = name;
    made.file = "/" + name + ".json";
    made.allow = std::move(allow);
    made.deny = std::move(deny);
    made.groups = {0};
    return made;
}

Snapshot snapshot_of(std::vector<Action> actions) {
    Snapshot snapshot;
    for (Action& one : actions) {
        const std::string name = one.description.name;
        snapshot.actions.emplace(name, std::move(one));
    }
    return snapshot;
}

struct Identity {
    const char* what;
    Caller caller;
};

const std::vector<Identity>& identities() {
    static const std::vector<Identity> all = {
        {"root", {0, 0, {0}}},
        {"alice, in deploy (27)", {1000, 1000, {27, 1000}}},
        {"alice without deploy", {1000, 1000, {1000}}},
        {"bob, deploy is his primary group", {1001, 27, {27}}},
        {"carol, whose primary group is no supplementary one", {1002, 27, {1002}}},
        {"nobody", {65534, 65534, {65534}}},
        {"uid 2147483648", {2147483648U, 2147483648U, {2147483648U}}},
        {"uid 4294967294", {4294967294U, 4294967294U, {4294967294U}}},
        {"no uid", {no_id, 1000, {1000}}},
        {"no gid", {1000, no_id, {1000}}},
        {"a group that is none", {1000, 1000, {1000, no_id}}},
        {"nothing known", {no_id, no_id, {}}},
        {"nothing filled in", {}},
    };
    return all;
}

// Every class of rules against every identity above, in its order.
// '+' granted, '-' denied.
struct Access {
    const char* what;
    std::vector<Rule> allow;
    std::vector<Rule> deny;
    std::string expected;
};

TEST(Verdict, EveryIdentityAgainstEveryClassOfRules) {
    const Access table[] = {
        {"nobody is allowed", {}, {}, "-------------"},
        // A uid that may be anybody (65534) is let in only by its own name; ids that are none
        // never.
        {"everyone", {everyone()}, {}, "+++++-++-----"},
        {"root only", {user(0)}, {}, "+------------"},
        {"alice", {user(1000)}, {}, "-++----------"},
        {"deploy", {group(27)}, {}, "-+-++--------"},
        {"alice while in deploy", {user_and_group(1000, 27)}, {}, "-+-----------"},
        {"uid 65534 by name", {user(65534)}, {}, "-----+-------"},
        {"gid 65534", {group(65534)}, {}, "-------------"},
        {"uid 65534 by name and group", {user_and_group(65534, 65534)}, {}, "-----+-------"},
        {"uid 65534 by name and another group", {user_and_group(65534, 27)}, {}, "-------------"},
        {"uid 2147483648", {user(2147483648U)}, {}, "------+------"},
        {"uid 4294967294", {user(4294967294U)}, {}, "-------+-----"},
        {"the id that is none", {user(no_id), group(no_id)}, {}, "-------------"},
        {"a subject without conditions", {rule("empty", {})}, {}, "-------------"},
        {"two subjects", {user(0), group(27)}, {}, "++-++--------"},
        {"deny wins", {everyone()}, {group(27)}, "+-+---++-----"},
        {"deny root", {everyone()}, {user(0)}, "-++++-++-----"},
        {"deny both conditions", {everyone()}, {user_and_group(1000, 27)}, "+-+++-++-----"},
        {"deny everyone", {everyone(), user(0)}, {everyone()}, "-------------"},
        {"deny alone allows nobody", {}, {user(5)}, "-------------"},
        {"a denied uid 65534", {user(65534)}, {group(65534)}, "-------------"},
    };
    for (const Access& access : table) {
        const Snapshot snapshot = snapshot_of({action("a", access.allow, access.deny)});
        std::string got;
        for (const Identity& identity : identities()) {
            const Verdict verdict = decide(snapshot, identity.caller, "a");
            got += verdict.action != nullptr ? '+' : '-';
            EXPECT_FALSE(verdict.reason.empty());
            EXPECT_EQ(granted(snapshot, identity.caller).size(),
                      verdict.action != nullptr ? 1U : 0U)
                << access.what << ": " << identity.what;
        }
        EXPECT_EQ(got, access.expected) << access.what;
    }
}

TEST(Verdict, OrderOfRulesNeverMatters) {
    std::vector<Rule> allow = {user(0), group(27), user(1000)};
    std::vector<Rule> deny = {group(5), user_and_group(1000, 27)};
    const Snapshot forward = snapshot_of({action("a", allow, deny)});
    std::reverse(allow.begin(), allow.end());
    std::reverse(deny.begin(), deny.end());
    const Snapshot backward = snapshot_of({action("a", allow, deny)});
    for (const Identity& identity : identities()) {
        EXPECT_EQ(decide(forward, identity.caller, "a").action != nullptr,
                  decide(backward, identity.caller, "a").action != nullptr)
            << identity.what;
    }
}

TEST(Verdict, NamesAreExact) {
    const Snapshot snapshot = snapshot_of({action("backup", {everyone()})});
    const Caller root{0, 0, {0}};
    EXPECT_NE(decide(snapshot, root, "backup").action, nullptr);
    for (const std::string name :
         {"backup-all", "Backup", "backu", "backup ", "", "backup.json", "./backup", "backup*"}) {
        EXPECT_EQ(decide(snapshot, root, name).action, nullptr) << name;
    }
    EXPECT_EQ(decide(snapshot, root, std::string("backup\0", 7)).action, nullptr);
}

TEST(Verdict, SaysWhyAndWhere) {
    Snapshot snapshot = snapshot_of({
        action("allowed", {user(1), group(27)}),
        action("denied", {everyone()}, {user(1), group(27)}),
        action("unmatched", {user(1)}),
    });
    snapshot.bad.push_back({"", "/folder", "m"});
    snapshot.bad.push_back({"bad", "/bad.json", "m"});
    const Caller alice{1000, 1000, {27, 1000}};
    struct Row {
        const char* action;
        Caller caller;
        const char* reason;
        const char* rule;
        const char* place;
    };
    const Row rows[] = {
        {"allowed", alice, "allowed", "group 27", "/a.json:group 27"},
        {"denied", alice, "denied by a rule", "group 27", "/a.json:group 27"},
        {"unmatched", alice, "no rule matches", "", "/unmatched.json"},
        {"bad", alice, "the action's file is not valid", "", "/bad.json"},
        {"missing", alice, "no such action", "", ""},
        {"", alice, "no such action", "", ""},
        {"allowed", {no_id, no_id, {}}, "the caller is not known", "", ""},
        {"allowed",
         {65534, 65534, {27}},
         "uid 65534 can be anybody, and no rule names it",
         "",
         "/allowed.json"},
    };
    for (const Row& row : rows) {
        const Verdict verdict = decide(snapshot, row.caller, row.action);
        EXPECT_EQ(verdict.reason, row.reason) << row.action;
        EXPECT_EQ(verdict.rule, row.rule) << row.action;
        EXPECT_EQ(verdict.place, row.place) << row.action;
    }
}

// For the audit: it looks as if nobody had declared the action.
TEST(Verdict, NamesADirectoryThatIsNotSafe) {
    Snapshot snapshot = snapshot_of({action("a", {})});
    snapshot.unsafe = {"/etc/postern/actions.d"};
    const Caller alice{1000, 1000, {27, 1000}};
    const Verdict missing = decide(snapshot, alice, "missing");
    EXPECT_EQ(missing.action, nullptr);
    EXPECT_EQ(missing.reason,
              "no such action, but none is loaded from a directory that is not safe");
    EXPECT_EQ(missing.place, "/etc/postern/actions.d");
    EXPECT_EQ(decide(snapshot, alice, "a").reason, "no rule matches");
}

// A caller can trace a job of its own uid, and so has the job's groups.
TEST(Verdict, AJobNeverLendsItsCallerGroups) {
    Action lending = action("a", {everyone()});
    lending.uid = 1000;
    lending.gid = 1000;
    lending.groups = {27, 1000};
    const Snapshot snapshot = snapshot_of({lending});

    const Verdict poorer = decide(snapshot, {1000, 1000, {1000}}, "a");
    EXPECT_EQ(poorer.action, nullptr);
    EXPECT_EQ(poorer.reason, "the job would give its caller groups that the caller does not have");
    EXPECT_EQ(poorer.rule, "everyone");
    EXPECT_TRUE(granted(snapshot, {1000, 1000, {1000}}).empty());

    EXPECT_NE(decide(snapshot, {1000, 1000, {27, 1000}}, "a").action, nullptr);
    EXPECT_NE(decide(snapshot, {1000, 27, {1000}}, "a").action, nullptr);  // 27 is its gid
    EXPECT_EQ(decide(snapshot, {1000, 27, {27}}, "a").action, nullptr);    // 1000 is missing
    EXPECT_NE(decide(snapshot, {1001, 1001, {1001}}, "a").action, nullptr);
    EXPECT_NE(decide(snapshot, {0, 0, {0}}, "a").action, nullptr);
}

TEST(Verdict, UnitsAreKnownOrTheRuleFailsClosed) {
    const auto unit = [](const std::string& name, std::optional<uid_t> uid = {}) {
        return rule("unit", {.everyone = false, .user = uid, .group = {}, .unit = name});
    };
    const Snapshot snapshot = snapshot_of({
        action("allowed", {unit("ci.service")}),
        action("both", {unit("ci.service", 1000)}),
        action("denied", {everyone()}, {unit("ci.service")}),
    });
    const auto may = [&](const char* name, uid_t uid, const Unit& in) {
        return decide(snapshot, {uid, 1000, {1000}}, name, in).action != nullptr;
    };
    EXPECT_TRUE(may("allowed", 1000, "ci.service"));
    EXPECT_FALSE(may("allowed", 1000, "ci.service2"));
    EXPECT_FALSE(may("allowed", 1000, "CI.service"));
    EXPECT_FALSE(may("allowed", 1000, ""));
    EXPECT_FALSE(may("allowed", 1000, std::nullopt)) << "not known";
    EXPECT_TRUE(may("both", 1000, "ci.service"));
    EXPECT_FALSE(may("both", 1001, "ci.service"));
    EXPECT_FALSE(may("both", 1000, "x.service"));
    EXPECT_FALSE(may("denied", 1000, "ci.service"));
    EXPECT_TRUE(may("denied", 1000, "x.service"));
    EXPECT_FALSE(may("denied", 1000, std::nullopt)) << "not known";
    EXPECT_TRUE(names_a_unit(snapshot.actions.at("allowed")));
    EXPECT_TRUE(names_a_unit(snapshot.actions.at("denied")));
    EXPECT_FALSE(names_a_unit(action("a", {everyone()}, {user(5)})));
}

// Of the sender of a packet the kernel says the gid alone.
TEST(Verdict, GroupsAreKnownOrTheRuleFailsClosed) {
    Action lending = action("lending", {everyone()});
    lending.uid = 1000;
    lending.groups = {27, 1000};
    const Snapshot snapshot = snapshot_of({
        action("own", {group(1000)}),
        action("other", {group(27)}),
        action("both", {user_and_group(1000, 27)}),
        action("denied", {everyone()}, {group(27)}),
        action("denied to him in it", {everyone()}, {user_and_group(1000, 27)}),
        action("denied to another in it", {everyone()}, {user_and_group(1001, 27)}),
        lending,
    });
    Caller caller{1000, 1000, {1000}};
    const auto may = [&](const char* name) {
        return decide(snapshot, caller, name).action != nullptr;
    };
    for (const bool known : {true, false}) {
        caller.groups_known = known;
        EXPECT_TRUE(may("own")) << "its own gid";
        EXPECT_FALSE(may("other"));
        EXPECT_FALSE(may("both"));
        EXPECT_EQ(may("denied"), known);
        EXPECT_EQ(may("denied to him in it"), known);
        EXPECT_TRUE(may("denied to another in it"));
        EXPECT_FALSE(may("lending"));
    }
    // Who differs in this differs, so that they never share a session.
    EXPECT_NE(caller, (Caller{1000, 1000, {1000}}));
}

TEST(Verdict, GrantedIsByNameAndOnlyWhatMayRun) {
    const Snapshot snapshot =
        snapshot_of({action("z", {everyone()}), action("b", {user(5)}), action("a", {user(1000)})});
    const auto actions = granted(snapshot, {1000, 1000, {1000}});
    ASSERT_EQ(actions.size(), 2U);
    EXPECT_EQ(actions[0]->description.name, "a");
    EXPECT_EQ(actions[1]->description.name, "z");
}

}  // namespace
}  // namespace postern::policy
