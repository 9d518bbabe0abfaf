// Whose a caller is, who pays for it, and what follows for deny rules and lent groups.
//
// mallory (4242) has an account and a range; so have bob (1001), whose second range overlaps hers
// and whose third covers carol's account (1003), and containers (901), a system account.
#include "daemon/policy/owners.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "daemon/policy/verdict.h"

namespace postern::policy {
namespace {

constexpr uid_t unmapped_id = std::numeric_limits<uid_t>::max();
constexpr gid_t barred = 5555;
using Uids = std::vector<uid_t>;

People people() {
    People made;
    made.accounts = {0, 901, 1001, 1003, 4242, 65534};
    made.ranges = UidRanges({{100000, 165535, 4242},
                             {165536, 231071, 1001},
                             {165530, 165540, 1001},
                             {1003, 1003, 1001},
                             {400000, 499999, 901},
                             {500000, 500009, std::nullopt},
                             {500009, 500010, 4242}});
    made.members = {{barred, {1001, 4242}}};
    return made;
}

Caller caller_of(uid_t uid, Uids map = {}, bool process_known = true) {
    Caller caller{uid, uid, {uid}};
    caller.mapped_from = std::move(map);
    caller.process_known = process_known;
    return caller;
}

TEST(People, AreOthersWhateverTheRulesAskOf) {
    const People before = people();
    People now = before;
    now.members[4444] = {1003};
    now.warnings = {"w"};
    now.kept_out = {"k"};
    EXPECT_FALSE(now.are_others_than(before)) << "only the rules are other ones";
    EXPECT_FALSE(before.are_others_than(now));
    now.members[barred] = {1001};
    EXPECT_TRUE(now.are_others_than(before)) << "somebody has left a group";
    now = before;
    now.accounts.push_back(70000);
    EXPECT_TRUE(now.are_others_than(before));
    now = before;
    now.ranges = UidRanges({{100000, 165535, 4242}});
    EXPECT_TRUE(now.are_others_than(before));
    now = before;
    now.user_names[4242] = "mallory";
    EXPECT_TRUE(now.are_others_than(before));
}

struct OwnersRow {
    const char* what;
    Caller caller;
    Uids owners;
    bool known;
    uid_t payer;
};

TEST(UidRanges, AreFoundHoweverTheyOverlap) {
    const UidRanges ranges(
        {{10, 99, 1}, {20, 29, 2}, {20, 29, 2}, {20, 24, 3}, {50, 50, 4}, {100, 4294967294U, 5}});
    const auto at = [&ranges](uid_t uid) {
        Uids owners;
        for (const UidRange& range : ranges.at(uid)) owners.push_back(*range.owner);
        std::ranges::sort(owners);
        return owners;
    };
    EXPECT_EQ(at(9), Uids{});
    EXPECT_EQ(at(10), Uids{1});
    EXPECT_EQ(at(22), (Uids{1, 2, 3}));
    EXPECT_EQ(at(25), (Uids{1, 2}));
    EXPECT_EQ(at(30), Uids{1});
    EXPECT_EQ(at(50), (Uids{1, 4}));
    EXPECT_EQ(at(99), Uids{1});
    EXPECT_EQ(at(100), Uids{5});
    EXPECT_EQ(at(4294967294U), Uids{5});
    EXPECT_EQ(UidRanges().at(0), std::vector<UidRange>{});
    EXPECT_EQ(ranges.all().size(), 5U) << "each once";
}

TEST(Owners, AreByRangeAndByMap) {
    const OwnersRow rows[] = {
        {"an account", caller_of(4242), {4242}, true, 4242},
        {"an account whose process is gone", caller_of(4242, {}, false), {4242}, true, 4242},
        {"root", caller_of(0), {0}, true, 0},
        {"an account in its own namespace",
         caller_of(4242, {4242, 100000}),
         {4242, 100000},
         true,
         4242},
        {"a subordinate uid",
         caller_of(100001, {4242, 100000}),
         {100001, 4242, 100000},
         true,
         4242},
        {"by a map without its owner",
         caller_of(100001, {100000}),
         {100001, 4242, 100000},
         true,
         4242},
        {"in a namespace below", caller_of(100001, {100001}), {100001, 4242}, true, 4242},
        {"in the first namespace", caller_of(100001), {100001, 4242}, true, 4242},
        {"whose process is gone", caller_of(100001, {}, false), {100001, 4242}, false, 4242},
        {"of two owners", caller_of(165530, {165530}), {165530, 4242, 1001}, true, 165530},
        {"of two owners, in the first namespace",
         caller_of(165530),
         {165530, 4242, 1001},
         true,
         1001},
        {"an account in somebody's range", caller_of(1003), {1003, 1001}, true, 1003},
        {"the same, and its process is gone",
         caller_of(1003, {}, false),
         {1003, 1001},
         false,
         1003},
        {"a system account's container",
         caller_of(400003, {400000}),
         {400003, 901, 400000},
         true,
         400000},
        {"a namespace inside of it",
         caller_of(401003, {401000}),
         {401003, 901, 401000},
         true,
         400000},
        {"another of that account",
         caller_of(465545, {465540}),
         {465545, 901, 465540},
         true,
         465536},
        {"in the first namespace", caller_of(400003), {400003, 901}, true, 400000},
        {"a uid of nobody's", caller_of(7000), {7000}, true, 7000},
        {"the same, and its process is gone", caller_of(7000, {}, false), {7000}, false, 7000},
        {"a namespace that leads nowhere",
         caller_of(700003, {700000}),
         {700003, 700000},
         false,
         655360},
        {"a namespace that leads to an account in its second line",
         caller_of(700003, {700000, 4242}),
         {700003, 700000, 4242},
         true,
         4242},
        {"a line that is not mapped here",
         caller_of(700003, {unmapped_id}),
         {700003},
         false,
         700003},
        {"a range of nobody known", caller_of(500003), {500003}, false, 500000},
        {"the same, with an owner besides", caller_of(500009, {4242}), {500009, 4242}, false, 4242},
        {"a map that leads to it", caller_of(4242, {4242, 500003}), {4242, 500003}, false, 4242},
        {"nobody", caller_of(65534), {65534}, true, 65534},
    };
    const People all = people();
    for (const OwnersRow& row : rows) {
        Owners owners = owners_of(all, row.caller);
        Uids expected = row.owners;
        std::ranges::sort(owners.uids);
        std::ranges::sort(expected);
        EXPECT_EQ(owners.uids, expected) << row.what;
        EXPECT_EQ(owners.known, row.known) << row.what;
        EXPECT_EQ(payer_of(all, row.caller), row.payer) << row.what;
    }
}

TEST(Owners, OfAUidWithoutAccountAreNotKnownWhereRangesAreNot) {
    People unknown;
    unknown.accounts = {4242};
    unknown.ranges_known = false;
    EXPECT_FALSE(owners_of(unknown, caller_of(100001)).known);
    EXPECT_FALSE(owners_of(unknown, caller_of(100001, {100000})).known);
    EXPECT_TRUE(owners_of(unknown, caller_of(100001, {4242, 100000})).known);
    EXPECT_TRUE(owners_of(unknown, caller_of(4242)).known);
    EXPECT_TRUE(owners_of(unknown, caller_of(4242, {}, false)).known);
}

TEST(Owners, AnAccountThatIsNotListedCountsWhereItWasAskedFor) {
    People unknown = people();
    unknown.ranges_known = false;
    Caller caller = caller_of(20000);
    EXPECT_FALSE(owners_of(unknown, caller).known);
    caller.accounts = {20000};
    EXPECT_TRUE(owners_of(unknown, caller).known);
    caller.process_known = false;
    EXPECT_TRUE(owners_of(unknown, caller).known);
    Caller contained = caller_of(700003, {20000});
    EXPECT_FALSE(owners_of(unknown, contained).known);
    contained.accounts = {20000};
    EXPECT_TRUE(owners_of(unknown, contained).known);
    EXPECT_EQ(payer_of(unknown, contained), 20000U);
}

TEST(People, ARangeThatVanishedStays) {
    People before = people();
    People after;
    after.accounts = {4242};
    after.ranges = UidRanges({{100000, 165535, 4242}, {600000, 600001, 4242}});
    after.keep_ranges_of(before);
    // All but the one whose owner could not be told; one was in both.
    EXPECT_EQ(after.ranges.all().size(), people().ranges.all().size());
    EXPECT_TRUE(owners_of(after, caller_of(500003)).known);
    EXPECT_TRUE(owners_of(after, caller_of(165536)).has(1001));
    EXPECT_TRUE(owners_of(after, caller_of(600000)).has(4242));
}

// ---- Verdicts ----

Rule everybody() {
    return {{.everyone = true, .user = {}, .group = {}}, "everyone", "p"};
}
Rule of_user(uid_t uid) {
    return {{.everyone = false, .user = uid, .group = {}}, "user " + std::to_string(uid), "p"};
}
Rule of_group(gid_t gid) {
    return {{.everyone = false, .user = {}, .group = gid}, "group " + std::to_string(gid), "p"};
}
Rule of_unit(const std::string& name) {
    return {{.everyone = false, .user = {}, .group = {}, .unit = name}, "unit " + name, "p"};
}

Verdict verdict_on(std::vector<Rule> allow, std::vector<Rule> deny, const Caller& caller,
                   const Unit& unit = std::nullopt) {
    static Snapshot snapshot;
    snapshot.people = people();
    Action action;
    action.allow = std::move(allow);
    action.deny = std::move(deny);
    action.groups = {0};
    snapshot.actions["a"] = action;
    const Verdict verdict = decide(snapshot, caller, "a", unit);
    EXPECT_EQ(granted(snapshot, caller, unit).size(), verdict.action != nullptr ? 1U : 0U);
    return verdict;
}

bool is_allowed(std::vector<Rule> allow, std::vector<Rule> deny, const Caller& caller,
                const Unit& unit = std::nullopt) {
    return verdict_on(std::move(allow), std::move(deny), caller, unit).action != nullptr;
}

TEST(OwnersInRules, ADenyByUserHoldsForEveryOwner) {
    const Caller in_namespace = caller_of(100001, {4242, 100000});
    const Caller setuid = caller_of(100001);
    for (const Caller& caller : {in_namespace, setuid}) {
        EXPECT_FALSE(is_allowed({everybody()}, {of_user(4242)}, caller));
        EXPECT_FALSE(is_allowed({everybody()}, {of_user(100001)}, caller));
        EXPECT_TRUE(is_allowed({everybody()}, {of_user(1001)}, caller));
        EXPECT_TRUE(is_allowed({everybody()}, {of_user(0)}, caller));
    }
    EXPECT_FALSE(is_allowed({everybody()}, {of_user(1001)}, caller_of(1003)))
        << "covered by a range";
    EXPECT_TRUE(is_allowed({everybody()}, {of_user(1003)}, caller_of(1001)));
    // Named or not: the denied one's uids are the denied one's.
    EXPECT_FALSE(is_allowed({of_user(100001)}, {of_user(4242)}, setuid));
}

TEST(OwnersInRules, ADenyByGroupHoldsForWhomTheDatabasePutsInIt) {
    EXPECT_FALSE(is_allowed({everybody()}, {of_group(barred)}, caller_of(4242)));
    EXPECT_FALSE(is_allowed({everybody()}, {of_group(barred)}, caller_of(4242, {4242, 100000})));
    EXPECT_FALSE(is_allowed({everybody()}, {of_group(barred)}, caller_of(100001)));
    EXPECT_FALSE(is_allowed({of_user(4242)}, {of_group(barred)}, caller_of(4242)));
    EXPECT_FALSE(is_allowed({everybody()}, {of_group(barred)}, caller_of(1003)))
        << "bob's range covers it";
    EXPECT_TRUE(is_allowed({everybody()}, {of_group(barred)}, caller_of(7000)));
    EXPECT_TRUE(is_allowed({everybody()}, {of_group(6666)}, caller_of(100001)));
    Caller carrying = caller_of(7000);
    carrying.groups = {barred, 7000};
    EXPECT_FALSE(is_allowed({everybody()}, {of_group(barred)}, carrying));
    const Rule both{{.everyone = false, .user = 4242, .group = barred}, "both", "p"};
    EXPECT_FALSE(is_allowed({everybody()}, {both}, caller_of(100001)));
    EXPECT_TRUE(is_allowed({everybody()}, {both}, caller_of(165600)));
}

TEST(OwnersInRules, AnAllowLooksAtWhatTheProcessCarries) {
    EXPECT_FALSE(is_allowed({of_user(4242)}, {}, caller_of(100001, {4242, 100000})));
    EXPECT_FALSE(is_allowed({of_group(barred)}, {}, caller_of(4242)));
    EXPECT_TRUE(is_allowed({of_user(100001)}, {}, caller_of(100001)));
    // Whom nothing denies goes on working, known or not.
    for (const Caller& caller : {caller_of(100001, {4242, 100000}), caller_of(700003, {700000}),
                                 caller_of(100001, {}, false), caller_of(7000, {}, false)}) {
        EXPECT_TRUE(is_allowed({everybody()}, {}, caller));
    }
}

TEST(OwnersInRules, OfAnUnknownOwnerEveryDenyHolds) {
    for (const Caller& caller : {caller_of(700003, {700000}), caller_of(700003, {}, false)}) {
        const Verdict verdict = verdict_on({everybody()}, {of_user(1001)}, caller, "x.service");
        EXPECT_EQ(verdict.action, nullptr);
        EXPECT_EQ(verdict.reason,
                  "denied by a rule, because it is not known which user this uid belongs to");
        EXPECT_EQ(verdict.rule, "user 1001");
        EXPECT_FALSE(is_allowed({everybody()}, {of_group(6666)}, caller));
        EXPECT_FALSE(is_allowed({of_group(700003)}, {of_user(1001)}, caller));
        // Unless the rule that lets it in means exactly it.
        EXPECT_TRUE(is_allowed({of_user(700003)}, {of_user(1001)}, caller));
        EXPECT_TRUE(is_allowed({everybody(), of_user(700003)}, {of_group(6666)}, caller));
        EXPECT_TRUE(is_allowed({of_unit("x.service")}, {of_user(1001)}, caller, "x.service"));
        EXPECT_FALSE(is_allowed({of_user(700004)}, {of_user(1001)}, caller));
        // Then still what is known of it counts.
        EXPECT_FALSE(is_allowed({of_user(700003)}, {of_group(700003)}, caller));
        EXPECT_FALSE(is_allowed({of_user(700003)}, {everybody()}, caller));
        // Its unit is known.
        EXPECT_TRUE(is_allowed({everybody()}, {of_unit("y.service")}, caller, "x.service"));
        EXPECT_FALSE(is_allowed({everybody()}, {of_unit("x.service")}, caller, "x.service"));
    }
}

// Group 65534 is what a user namespace shows of all groups that it can't map.
TEST(OwnersInRules, Group65534MayBeAnyGroup) {
    Caller caller = caller_of(7000);
    caller.gid = 65534;
    caller.groups = {65534};
    EXPECT_FALSE(is_allowed({of_group(65534)}, {}, caller));
    EXPECT_TRUE(is_allowed({everybody()}, {}, caller));
    EXPECT_FALSE(is_allowed({everybody()}, {of_group(65534)}, caller));
    const Rule both{{.everyone = false, .user = 7000, .group = 65534}, "both", "p"};
    EXPECT_TRUE(is_allowed({both}, {}, caller));
}

TEST(OwnersInRules, GroupsAreLentToNobodyWhoseTheJobIs) {
    Snapshot snapshot;
    snapshot.people = people();
    Action action;
    action.uid = 4242;
    action.gid = 4242;
    action.groups = {42, 4242};
    action.lent = {42};
    const auto may = [&](std::vector<Rule> allow, Caller caller, bool has_it = false) {
        if (has_it) caller.groups.insert(caller.groups.begin(), 42);
        action.allow = std::move(allow);
        snapshot.actions["a"] = action;
        return decide(snapshot, caller, "a").action != nullptr;
    };
    // Who is its uid by whatever way, named or not.
    for (const Caller& caller :
         {caller_of(100001), caller_of(100001, {4242, 100000}), caller_of(100001, {}, false)}) {
        EXPECT_FALSE(may({of_user(100001)}, caller));
        EXPECT_TRUE(may({of_user(100001)}, caller, true));
    }
    EXPECT_FALSE(may({of_user(4242)}, caller_of(4242)));
    EXPECT_TRUE(may({of_user(4242)}, caller_of(4242), true));
    EXPECT_FALSE(may({of_user(700003)}, caller_of(700003, {700000}))) << "it may be its uid";
    // Somebody else has to be named.
    EXPECT_TRUE(may({of_user(1001)}, caller_of(1001)));
    EXPECT_FALSE(may({everybody()}, caller_of(1001)));
    EXPECT_FALSE(may({of_group(1001)}, caller_of(1001)));
    EXPECT_TRUE(may({everybody(), of_user(1001)}, caller_of(1001))) << "in whatever order";
    EXPECT_FALSE(may({everybody()}, caller_of(0)));
    // What the user has anyhow, its subordinate uids may start.
    action.lent.clear();
    EXPECT_TRUE(may({everybody()}, caller_of(100001)));
    EXPECT_FALSE(may({everybody()}, caller_of(4242))) << "it has dropped a group";
}

}  // namespace
}  // namespace postern::policy
