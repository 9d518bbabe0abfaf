#include "daemon/guard/calls/run.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/guard/calls/admission.h"
#include "daemon/guard/calls/call_bytes.h"
#include "daemon/guard/calls/decision.h"
#include "daemon/guard/calls/following.h"
#include "daemon/guard/calls/own_jobs.h"

namespace postern {
namespace {

// Of one call, where systemd drops its unit.
constexpr int most_starts = 3;

constexpr std::array<std::string_view, 8> state_names = {
    "received", "decided", "bound", "admitted", "recorded", "starting", "running", "over"};

// In whatever order.
bool same_arguments(std::vector<std::pair<std::string, std::string>> one,
                    std::vector<std::pair<std::string, std::string>> other) {
    std::ranges::sort(one);
    std::ranges::sort(other);
    return one == other;
}

// The follower of a job that this call has started.
class Starter final : public Following {
  public:
    Starter(CallPtr call, std::string action, std::shared_ptr<Run> run)
        : Following(std::move(call), std::move(action)), run_(std::move(run)) {}

    void started(const JobId& job, UniqueFd stdout_file, UniqueFd stderr_file) override {
        // Nothing more is asked of it: its secrets are let go.
        if (run_) run_->started();
        run_.reset();
        Following::started(job, std::move(stdout_file), std::move(stderr_file));
    }
    void start_failed(const JobId& job, const jobs::StartFailure& failure) override {
        const std::shared_ptr<Run> run = std::move(run_);
        if (!run || !run->start_again(failure)) Following::start_failed(job, failure);
    }

  private:
    std::shared_ptr<Run> run_;
};

}  // namespace

// The one place where it changes its state: one step forward, over from any, and from starting back
// to be begun anew.
void Run::set_state(State state) {
    assert(state == State::over || static_cast<int>(state) == static_cast<int>(state_) + 1 ||
           (state_ == State::starting && state == State::received));
    spdlog::debug("run of {} for uid {}: {} -> {}", asked_.action, call_->caller().uid,
                  state_names.at(static_cast<std::size_t>(state_)),
                  state_names.at(static_cast<std::size_t>(state)));
    state_ = state;
}

void Run::begin() {
    const policy::SnapshotPtr snapshot = environment_.snapshot;
    const policy::Verdict verdict = decide_or_refuse(*call_, *snapshot, asked_.action);
    if (verdict.action == nullptr || !reachable_or_refuse(*call_, *verdict.action)) {
        return set_state(State::over);
    }
    set_state(State::decided);
    digest_ = environment_.jobs.digest(call_bytes(asked_.action, asked_.arguments));
    Known known(std::nullopt);
    if (!asked_.key.empty()) {
        known = find_own(*call_, environment_.jobs, asked_.key, *environment_.snapshot);
    }
    if (answered_as_before(known)) return set_state(State::over);
    const auto command = bind_or_refuse(*call_, *verdict.action, asked_.arguments);
    if (!command) return set_state(State::over);
    set_state(State::bound);
    if (answered_by_key(known, *command)) return set_state(State::over);
    if (!admit_or_refuse(*call_, environment_.jobs, environment_.limits, asked_.action)) {
        return set_state(State::over);
    }
    if (!asked_.key.empty() && !admit_key_or_refuse(*call_, environment_.jobs, asked_.action)) {
        return set_state(State::over);
    }
    set_state(State::admitted);
    start(verdict, *command);
}

bool Run::answered_as_before(const Known& found) {
    if (!found) return false;
    const std::optional<jobs::Record>& known = *found;
    if (!known || known->requester.call != digest_) return false;
    spdlog::debug("job {}: found again by its key", known->job.text());
    answer_with(call_, environment_.jobs, *known);
    return true;
}

bool Run::answered_by_key(const Known& found, const policy::Command& command) {
    if (!found) {
        spdlog::error("{}: {}", asked_.action, found.error().message);
        call_->refuse(Refusal::unavailable, "",
                      "what was started with this key can't be found out at the moment; try "
                      "again later, the administrator finds more in the log");
        return true;
    }
    const std::optional<jobs::Record>& known = *found;
    if (!known) return false;
    // Version 0.1.0 left no digest: the arguments, but for the secret ones, are all that is known.
    const bool as_shown =
        known->action == asked_.action && same_arguments(known->arguments, command.shown);
    if (!known->requester.call && as_shown) {
        spdlog::debug("job {}: found again by its key", known->job.text());
        answer_with(call_, environment_.jobs, *known);
        return true;
    }
    refuse("the key is in use", known->job.text(), Refusal::key_in_use, asked_.key,
           "the key " + asked_.key + " was given to another call, which started job " +
               known->job.text() + " (" + known->action + "); a new call needs a new key");
    return true;
}

void Run::start(const policy::Verdict& verdict, const policy::Command& command) {
    std::unique_ptr<jobs::Follower> follower;
    // Nobody waits for the end of a job that a packet has started.
    if (!call_->is_packet()) {
        follower = std::make_unique<Starter>(call_, asked_.action, shared_from_this());
    }
    const auto admit = [&](const JobId& job) {
        AuditEvent event = call_->event(AuditEvent::Kind::job_started, asked_.action);
        event.rule = verdict.rule;
        event.place = verdict.place;
        event.job = job.text();
        event.arguments = audit_arguments(command.shown);
        if (!call_->audit(event)) return false;
        environment_.job_audit.remember(job, call_->origin().caller);
        set_state(State::recorded);
        return true;
    };
    jobs::Requester requester = requester_of(*call_, environment_.jobs, asked_.key);
    requester.call = digest_;
    const auto job =
        environment_.jobs.start(*verdict.action, command, requester, std::move(follower), admit);
    if (!job) {
        spdlog::error("{}: no job can be started: {}", asked_.action, job.error().message);
        refuse(job.error().message, "", Refusal::unavailable, "",
               "no job can be started at the moment: its record or its audit can't be "
               "written; try again later, the administrator finds more in the log");
        return set_state(State::over);
    }
    set_state(State::starting);
    ++starts_;
    if (call_->is_packet()) {
        call_->answer(Detached{*job});
    } else {
        call_->link().keep(
            std::make_unique<Followed>(environment_.jobs, *job, jobs::first_follower));
    }
}

void Run::started() {
    set_state(State::running);
}

bool Run::start_again(const jobs::StartFailure& failure) {
    if (!failure.again || starts_ >= most_starts) {
        set_state(State::over);
        return false;
    }
    call_->link().forget();
    set_state(State::received);
    begin();
    return true;
}

void Run::refuse(const std::string& reason, const std::string& job, Refusal refusal,
                 const std::string& subject, const std::string& message) {
    AuditEvent event = call_->event(AuditEvent::Kind::call_refused, asked_.action);
    event.reason = reason;
    event.job = job;
    call_->audit(event);
    call_->refuse(refusal, subject, message);
}

}  // namespace postern
