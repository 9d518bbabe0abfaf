#include "daemon/guard/calls/cancelling.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "daemon/guard/calls/job_ends.h"
#include "host/accounts.h"
#include "model/cancel_signals.h"

namespace postern {
namespace {

// What its connection keeps until the last of them has ended.
class AwaitedEnds final : public OngoingCall {
  public:
    AwaitedEnds(JobEnds& ends, std::vector<JobEnds::Ticket> tickets)
        : ends_(ends), tickets_(std::move(tickets)) {}
    // Its session knows that there is no output here.
    void await_output(const AwaitOutput& /*read*/) override {}
    bool output_taken(const OutputTaken& /*taken*/) override { return false; }
    void left(jobs::Leaving /*leaving*/) override {
        for (const JobEnds::Ticket& ticket : tickets_) ends_.remove(ticket);
    }

  private:
    JobEnds& ends_;
    std::vector<JobEnds::Ticket> tickets_;
};

// Error: only a session that is hostile asks so.
Result<jobs::Cancellation> cancellation_of(const CallContext& call, std::int32_t signal, bool now) {
    if (!is_cancel_signal(signal)) return fail("it asked for a signal that cancels no job");
    const uid_t uid = call.caller().uid;
    const bool at_once = now || signal == SIGKILL;
    return jobs::Cancellation{{uid, call.names().user(uid)}, at_once ? SIGKILL : signal, at_once};
}

bool has_room_or_refuse(CallContext& call) {
    if (call.link().kept_by_connection() < limits::followed_by_connection) return true;
    call.refuse(Refusal::limit_reached, "connection",
                "this connection waits for " + std::to_string(limits::followed_by_connection) +
                    " jobs already; connect once more for another");
    return false;
}

// False: nothing of it runs any more. `job`: a jobs::Record or a jobs::ActiveJob.
bool cancel_and_audit(CallContext& call, jobs::JobManager& jobs, const auto& job,
                      const jobs::Cancellation& how) {
    const auto cancelled = jobs.cancel(job.job, how);
    if (cancelled != jobs::Cancelled::now) return cancelled.has_value();
    AuditEvent event = call.event(AuditEvent::Kind::job_cancelled, job.action);
    event.job = job.job.text();
    event.signal = how.signal;
    if (job.requester.uid != call.caller().uid) {
        event.reason = "a job of " + call.names().uid_text(job.requester.uid);
    }
    call.audit(event);
    return true;
}

// What a command line calls a user: by number, or by a name that is known of it.
class NamedUser {
  public:
    NamedUser(const std::string& text, const AccountNames& names) : text_(text), names_(names) {}

    [[nodiscard]] bool is(uid_t uid) const {
        return text_ == std::to_string(uid) || (!text_.empty() && names_.user(uid) == text_);
    }
    // A number is a uid, whoever has it.
    [[nodiscard]] bool is_known() const {
        return parse_id(text_).has_value() || names_.is_user(text_);
    }
    // Whether the job counts as this user's, the user's own name as of its start included.
    [[nodiscard]] bool owns(const jobs::Requester& requester) const {
        return is(requester.payer()) ||
               (!text_.empty() && requester.payer() == requester.uid && requester.user == text_);
    }

  private:
    const std::string& text_;
    const AccountNames& names_;
};

}  // namespace

void cancel_job(const CallPtr& call, CallEnvironment& environment, const jobs::Record& job,
                const CancelCall& asked) {
    const auto how = cancellation_of(*call, asked.signal, asked.now);
    if (!how) return call->link().violated(how.error().message);
    if (!has_room_or_refuse(*call)) return;
    if (!cancel_and_audit(*call, environment.jobs, job, *how)) {
        return call->refuse(Refusal::job_ended, job.job.text(),
                            "job " + job.job.text() + " of " + job.action +
                                " has ended; there is nothing left to cancel");
    }
    JobEnds& ends = environment.job_audit.ends();
    auto ticket = ends.add(job.job, [call](const jobs::Record& ended) {
        call->link().forget();
        JobCancelled answer{ended.job, ended.action, std::nullopt};
        if (ended.state != jobs::RecordState::failed) answer.result = ended.result;
        call->answer(std::move(answer));
    });
    call->link().keep(
        std::make_unique<AwaitedEnds>(ends, std::vector<JobEnds::Ticket>{std::move(ticket)}));
}

void cancel_all_of(const CallPtr& call, CallEnvironment& environment, const CancelAllCall& asked) {
    const auto how = cancellation_of(*call, asked.signal, asked.now);
    if (!how) return call->link().violated(how.error().message);
    if (!has_room_or_refuse(*call)) return;
    const NamedUser user(asked.user, call->names());
    const std::vector<jobs::ActiveJob> active = environment.jobs.list();
    const auto is_theirs = [&](const jobs::ActiveJob& job) { return user.owns(job.requester); };
    if (!user.is_known() && std::ranges::none_of(active, is_theirs)) {
        return call->refuse(Refusal::bad_parameter, "user", "no user of that name is known");
    }
    JobEnds& ends = environment.job_audit.ends();
    std::vector<JobEnds::Ticket> tickets;
    std::set<uid_t> owners;
    const auto left = std::make_shared<std::size_t>(0);
    const auto one_ended = [call, left](const jobs::Record& /*job*/) {
        if (--*left > 0) return;
        call->link().forget();
        call->answer(Managed{true, "", 0});
    };
    for (const jobs::ActiveJob& job : active) {
        if (!is_theirs(job) || !cancel_and_audit(*call, environment.jobs, job, *how)) continue;
        call->answer(JobReport{job.job, job.action, job.requester.uid, job.requester.pid, job.unit,
                               job.created});
        owners.insert(job.requester.payer());
        ++*left;
        tickets.push_back(ends.add(job.job, one_ended));
    }
    environment.starts.cancel(
        [&](uid_t owner) { return owners.contains(owner) || user.is(owner); });
    if (tickets.empty()) return call->answer(Managed{true, "", 0});
    call->link().keep(std::make_unique<AwaitedEnds>(ends, std::move(tickets)));
}

}  // namespace postern
