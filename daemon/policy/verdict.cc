#include "daemon/policy/verdict.h"

#include <algorithm>
#include <limits>

namespace postern::policy {
namespace {

// "Not known" to the kernel: an unconnected socket's peer has these ids.
constexpr uid_t no_id = std::numeric_limits<uid_t>::max();
// Whom a user namespace can't map (user_namespaces(7)): this may be anybody.
constexpr uid_t overflow_id = 65534;

bool is_member(const Caller& caller, gid_t gid) {
    return gid == caller.gid || std::ranges::binary_search(caller.groups, gid);
}

bool is_known(const Caller& caller) {
    return caller.uid != no_id && caller.gid != no_id && !is_member(caller, no_id);
}

// `unknown` is what a condition comes to on something that is not known of the caller: its unit, or
// groups besides those that are.
bool matches(const Subject& subject, const Caller& caller, const Unit& unit, bool unknown) {
    if (subject.everyone) return true;
    if (!subject.user && !subject.group && !subject.unit) return false;
    const bool in_unit = !subject.unit || (unit ? *subject.unit == *unit : unknown);
    const bool in_group =
        !subject.group || is_member(caller, *subject.group) || (!caller.groups_known && unknown);
    return (!subject.user || *subject.user == caller.uid) && in_group && in_unit;
}

bool allows(const Subject& subject, const Caller& caller, const Unit& unit) {
    if (caller.uid == overflow_id && !subject.user) return false;
    return matches(subject, caller, unit, false);
}

// A caller may trace a job of its own user, and so has what the job has.
bool would_lend_groups(const Action& action, const Caller& caller) {
    if (action.uid == 0 || action.uid != caller.uid) return false;
    return !std::ranges::all_of(action.groups, [&](gid_t gid) { return is_member(caller, gid); });
}

Verdict denied(std::string reason, std::string rule, std::string place) {
    return {nullptr, std::move(reason), std::move(rule), std::move(place)};
}

Verdict judge(const Action& action, const Caller& caller, const Unit& unit) {
    for (const Rule& rule : action.deny) {
        if (matches(rule.subject, caller, unit, true)) {
            return denied("denied by a rule", rule.text, rule.place);
        }
    }
    for (const Rule& rule : action.allow) {
        if (!allows(rule.subject, caller, unit)) continue;
        if (would_lend_groups(action, caller)) {
            return denied("the job would lend its caller groups that the caller does not have",
                          rule.text, rule.place);
        }
        return {&action, "allowed", rule.text, rule.place};
    }
    return denied(caller.uid == overflow_id ? "uid 65534 may be anybody, and no rule names it"
                                            : "no rule matches",
                  {}, action.file);
}

}  // namespace

Verdict decide(const Snapshot& snapshot, const Caller& caller, std::string_view action,
               const Unit& unit) {
    if (!is_known(caller)) return denied("the caller is not known", {}, {});
    const auto found = snapshot.actions.find(action);
    if (found != snapshot.actions.end()) return judge(found->second, caller, unit);
    const auto bad = std::ranges::find_if(snapshot.bad, [&](const BadFile& file) {
        return !file.action.empty() && file.action == action;
    });
    if (bad != snapshot.bad.end()) return denied("the action's file is bad", {}, bad->file);
    return denied("no such action", {}, {});
}

std::vector<const Action*> granted(const Snapshot& snapshot, const Caller& caller,
                                   const Unit& unit) {
    std::vector<const Action*> actions;
    if (!is_known(caller)) return actions;
    for (const auto& [name, action] : snapshot.actions) {
        if (judge(action, caller, unit).action != nullptr) actions.push_back(&action);
    }
    return actions;
}

bool names_a_unit(const Action& action) {
    const auto names = [](const Rule& rule) { return rule.subject.unit.has_value(); };
    return std::ranges::any_of(action.allow, names) || std::ranges::any_of(action.deny, names);
}

}  // namespace postern::policy
