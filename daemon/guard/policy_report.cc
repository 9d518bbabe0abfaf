#include "daemon/guard/policy_report.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "daemon/guard/listen/identity.h"
#include "daemon/guard/service/log.h"

namespace postern {
namespace {

bool denies_people(const policy::Snapshot& snapshot) {
    return std::ranges::any_of(snapshot.actions, [](const auto& entry) {
        return std::ranges::any_of(entry.second.deny, [](const policy::Rule& rule) {
            return rule.subject.user || rule.subject.group;
        });
    });
}

// Each once, for as long as it holds.
void warn_once(std::vector<std::string>& said, std::vector<std::string> warnings) {
    for (const std::string& warning : warnings) {
        if (std::ranges::find(said, warning) == said.end()) spdlog::warn("{}", warning);
    }
    said = std::move(warnings);
}

std::vector<std::string> messages_of(const std::vector<policy::PassedOver>& files) {
    std::vector<std::string> messages;
    messages.reserve(files.size());
    for (const policy::PassedOver& file : files) messages.push_back(file.message);
    return messages;
}

}  // namespace

void PolicyReport::action_off(const policy::BadFile& bad) {
    AuditEvent event;
    event.kind = AuditEvent::Kind::action_off;
    event.action = bad.action;
    event.place = bad.file;
    event.reason = bad.message;
    const bool recorded = audit_.write(event);
    // Where both end up in the journal, once is enough.
    const bool is_there = std::string_view(audit_.sink_name()) == "journal" && log_is_journal();
    if (!recorded || !is_there) spdlog::error("not loaded: {}", bad.message);
}

void PolicyReport::say(const policy::SnapshotPtr& in_force, const PolicyRead& read) {
    const policy::Snapshot nothing;
    const policy::Snapshot& before = in_force ? *in_force : nothing;
    const policy::Snapshot& now = *read.snapshot;
    warn_once(warnings_, now.people.warnings);
    warn_once(passed_over_, messages_of(now.passed_over));
    if (in_force && read.people_changed) {
        spdlog::info("users, groups or subordinate ids have changed: reloaded");
    }
    if (in_force && read.change.any()) {
        AuditEvent event;
        event.kind = AuditEvent::Kind::actions_changed;
        event.change = &read.change;
        audit_.write(event);
    }
    for (const policy::BadFile& bad : now.bad) {
        if (std::ranges::find(before.bad, bad) == before.bad.end()) action_off(bad);
    }
    for (const auto& [name, action] : now.actions) {
        const auto known = before.actions.find(name);
        if (known != before.actions.end() && known->second.warnings == action.warnings) continue;
        for (const std::string& warning : action.warnings) spdlog::warn("{}", warning);
    }
    if (units_are_known()) return;
    if (!now.units.empty() && before.units.empty()) {
        spdlog::warn(
            "rules name units, but this kernel (before 6.5) can't tell a caller's unit: "
            "allow rules that name a unit never apply, deny rules that name one always do");
    }
    if (denies_people(now) && !denies_people(before)) {
        spdlog::warn(
            "rules deny users or groups, but this kernel (before 6.5) can't tell a caller's "
            "user namespace: they apply to every uid that has no account, or is in a "
            "range of subordinate ids, and that no rule allows by user or unit");
    }
}

}  // namespace postern
