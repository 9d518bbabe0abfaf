#include "daemon/policy/verdict.h"

#include <algorithm>
#include <limits>

#include "daemon/policy/owners.h"

namespace postern::policy {
namespace {

// "Not known" to the kernel: an unconnected socket's peer has these ids.
constexpr uid_t no_id = std::numeric_limits<uid_t>::max();
// Whom a user namespace can't map (user_namespaces(7)): this may be anybody.
constexpr uid_t overflow_id = 65534;

bool carries(const Caller& caller, gid_t gid) {
    return gid == caller.gid || std::ranges::binary_search(caller.groups, gid);
}

bool is_known(const Caller& caller) {
    return caller.uid != no_id && caller.gid != no_id && !carries(caller, no_id);
}

// Who asks, with what is found out once for all rules.
struct Asking {
    const People& people;
    const Caller& caller;
    const Unit& unit;
    Owners owners;
};

bool names_nobody(const Subject& subject) {
    return !subject.everyone && !subject.user && !subject.group && !subject.unit;
}

// An allow rule looks at what the process carries, and what is not known does not hold.
bool allows(const Subject& subject, const Asking& asking) {
    const Caller& caller = asking.caller;
    // Both may be anybody's: a uid, or a group, that a user namespace can't map.
    if (!subject.user && (caller.uid == overflow_id || subject.group == overflow_id)) return false;
    if (subject.everyone) return true;
    return !names_nobody(subject) && (!subject.user || *subject.user == caller.uid) &&
           (!subject.group || carries(caller, *subject.group)) &&
           (!subject.unit || subject.unit == asking.unit);
}

// A deny rule looks at everybody whose the caller is, and what is not known does hold. `anybody`:
// the caller is taken for whomever the rule names.
bool denies(const Subject& subject, const Asking& asking, bool anybody) {
    if (subject.everyone) return true;
    const auto has_group = [&](gid_t gid) {
        return carries(asking.caller, gid) || !asking.caller.groups_known ||
               is_member(asking.people, asking.owners, gid);
    };
    return !names_nobody(subject) &&
           (!subject.user || anybody || asking.owners.has(*subject.user)) &&
           (!subject.group || anybody || has_group(*subject.group)) &&
           (!subject.unit || !asking.unit || *subject.unit == *asking.unit);
}

bool carries_all(const Caller& caller, const std::vector<gid_t>& groups) {
    return std::ranges::all_of(groups, [&](gid_t gid) { return carries(caller, gid); });
}

// Whoever is a job's user may trace it, and so has what the job has.
bool would_lend_groups(const Action& action, const Asking& asking) {
    if (action.uid == 0) return false;
    if (action.uid == asking.caller.uid) return !carries_all(asking.caller, action.groups);
    return (asking.owners.has(action.uid) || !asking.owners.known) &&
           !carries_all(asking.caller, action.lent);
}

Verdict denied(std::string reason, std::string rule, std::string place) {
    return {nullptr, std::move(reason), std::move(rule), std::move(place)};
}

Verdict judge(const Action& action, const Asking& asking) {
    const auto denying = [&](bool anybody) {
        return std::ranges::find_if(
            action.deny, [&](const Rule& rule) { return denies(rule.subject, asking, anybody); });
    };
    if (const auto rule = denying(false); rule != action.deny.end()) {
        return denied("denied by a rule", rule->text, rule->place);
    }
    const auto stranger = asking.owners.known ? action.deny.end() : denying(true);
    Verdict verdict =
        denied(asking.caller.uid == overflow_id ? "uid 65534 can be anybody, and no rule names it"
                                                : "no rule matches",
               {}, action.file);
    for (const Rule& rule : action.allow) {
        const Subject& subject = rule.subject;
        if (!allows(subject, asking)) continue;
        if (stranger != action.deny.end() && !subject.user && !subject.unit) {
            verdict =
                denied("denied by a rule, because it is not known which user this uid belongs to",
                       stranger->text, stranger->place);
        } else if (!action.lent.empty() && !subject.user) {
            verdict = denied(
                "the job has groups that its user does not have, and the rule does "
                "not name the caller by user",
                rule.text, rule.place);
        } else if (would_lend_groups(action, asking)) {
            verdict = denied("the job would give its caller groups that the caller does not have",
                             rule.text, rule.place);
        } else {
            return {&action, "allowed", rule.text, rule.place};
        }
    }
    return verdict;
}

}  // namespace

Verdict decide(const Snapshot& snapshot, const Caller& caller, std::string_view action,
               const Unit& unit) {
    if (!is_known(caller)) return denied("the caller is not known", {}, {});
    // Found out before it matters: how long that takes, with a long map, must not tell whether
    // there is such an action.
    const Asking asking{snapshot.people, caller, unit, owners_of(snapshot.people, caller)};
    const auto found = snapshot.actions.find(action);
    if (found != snapshot.actions.end()) return judge(found->second, asking);
    const auto bad = std::ranges::find_if(snapshot.bad, [&](const BadFile& file) {
        return !file.action.empty() && file.action == action;
    });
    if (bad != snapshot.bad.end()) return denied("the action's file is not valid", {}, bad->file);
    if (snapshot.unsafe.empty()) return denied("no such action", {}, {});
    return denied("no such action, but none is loaded from a directory that is not safe", {},
                  snapshot.unsafe.front());
}

std::vector<const Action*> granted(const Snapshot& snapshot, const Caller& caller,
                                   const Unit& unit) {
    std::vector<const Action*> actions;
    if (!is_known(caller)) return actions;
    const Asking asking{snapshot.people, caller, unit, owners_of(snapshot.people, caller)};
    for (const auto& [name, action] : snapshot.actions) {
        if (judge(action, asking).action != nullptr) actions.push_back(&action);
    }
    return actions;
}

bool names_a_unit(const Action& action) {
    const auto names = [](const Rule& rule) { return rule.subject.unit.has_value(); };
    return std::ranges::any_of(action.allow, names) || std::ranges::any_of(action.deny, names);
}

}  // namespace postern::policy
