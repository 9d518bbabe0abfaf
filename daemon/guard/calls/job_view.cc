#include "daemon/guard/calls/job_view.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "daemon/guard/calls/own_jobs.h"

namespace postern {
namespace {

JobView view_of_facts(const jobs::JobFacts& facts) {
    JobView view;
    view.job = facts.job;
    view.action = facts.action;
    view.state = jobs::job_state(facts.state);
    view.created = facts.created;
    if (view.state == JobState::ended) view.result = facts.result;
    view.uid = facts.owner.uid;
    view.pid = facts.pid;
    return view;
}

// Those that the action has by itself may be as long as those that a call can have: with both it
// would be more than one packet has room for.
std::vector<ShownArgument> shown_arguments(const jobs::Record& record) {
    std::vector<ShownArgument> shown;
    std::size_t room = limits::message_bytes;
    for (const auto& [name, text] : record.arguments) {
        const bool fits = text.size() <= room;
        const bool is_list = std::ranges::find(record.lists, name) != record.lists.end();
        shown.push_back({name, fits ? text : text.substr(0, room) + "...", fits && is_list});
        room -= std::min(text.size(), room);
    }
    return shown;
}

}  // namespace

JobView view_of(const CallContext& call, const jobs::JobManager& jobs, const jobs::Record& record) {
    JobView view = view_of_facts(jobs::facts_of(record, 0));
    const jobs::Requester& who = record.requester;
    if (view.state == JobState::failed) {
        view.message = record.told;
        if (record.result.cancelled_by) view.result = record.result;
    }
    JobDetails details;
    details.user = who.user;
    details.gid = who.gid;
    details.unit = who.unit.value_or("");
    details.listener = who.listener;
    details.arguments = shown_arguments(record);
    details.rule = who.rule;
    if (call.origin().way == Way::administrator) details.rule_place = who.rule_place;
    details.sizes = jobs.output_sizes(record.job);
    if (record.stdout_not_kept) details.sizes[0].reset();
    view.details = std::move(details);
    return view;
}

void answer_with_page(CallContext& call, const jobs::JobManager& jobs,
                      const policy::Snapshot& snapshot, const ListCall& asked) {
    jobs::JobQuery query;
    if (!asked.all) query.caller = caller_of_jobs(call, jobs, snapshot);
    query.action = asked.action;
    query.state = asked.state;
    query.since = asked.since;
    query.limit = asked.limit;
    if (asked.before) query.before = jobs::JobPlace{*asked.before, asked.before_job};
    const jobs::JobPage page = jobs.page(query);
    JobsListed listed;
    for (const jobs::JobFacts& facts : page.jobs) listed.jobs.push_back(view_of_facts(facts));
    if (page.next) {
        listed.next = page.next->created;
        listed.next_job = page.next->job;
    }
    call.answer(std::move(listed));
}

}  // namespace postern
