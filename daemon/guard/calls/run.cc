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
#include "daemon/guard/calls/direct_run.h"
#include "daemon/guard/calls/following.h"
#include "daemon/guard/calls/own_jobs.h"

namespace postern {
namespace {

// Of one call, where systemd drops its unit.
constexpr int most_starts = 3;

// For so long nothing is compared again on the way of one call to its start.
constexpr std::chrono::milliseconds just_compared{20};

constexpr std::array<std::string_view, 10> state_names = {
    "received", "reading",  "decided",  "bound",   "waiting",
    "admitted", "recorded", "starting", "running", "over"};

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
    // `direct`: what goes straight; null: nothing.
    Starter(CallPtr call, std::string action, std::shared_ptr<Run> run,
            std::shared_ptr<DirectRun> direct)
        : Following(std::move(call), std::move(action), direct && direct->straight.output),
          run_(std::move(run)),
          direct_(std::move(direct)) {
        if (!direct_) return;
        JobStarted started;
        started.hands_output = direct_->straight.output;
        started.hands_input = direct_->straight.input;
        announce(std::move(started));
    }

    [[nodiscard]] jobs::Straight straight() const override {
        return direct_ ? direct_->straight : jobs::Straight{};
    }
    void take_ends(jobs::ClientEnds ends) override { direct_->take(std::move(ends)); }

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

    void ended(const JobId& job, const JobResult& result) override {
        // The client is to have its ends first: what was written is in the pipe.
        if (direct_ && !direct_->of_client.empty()) {
            direct_->ended = result;
        } else {
            Following::ended(job, result);
        }
    }

  private:
    std::shared_ptr<Run> run_;
    std::shared_ptr<DirectRun> direct_;
};

// What its connection keeps while it waits for its turn.
class WaitingCall final : public OngoingCall {
  public:
    explicit WaitingCall(std::shared_ptr<Run> run) : run_(std::move(run)) {}
    // There is none yet, and the session knows.
    void await_output(const AwaitOutput& /*read*/) override {}
    bool output_taken(const OutputTaken& /*taken*/) override { return false; }
    void left(jobs::Leaving /*leaving*/) override { run_->left(); }

  private:
    std::shared_ptr<Run> run_;
};

}  // namespace

// The one place where it changes its state: one step forward (it waits only once, and reads only
// where it must), over from any, and back to be begun anew: from reading when that is done, from
// waiting when its turn comes, from admitted where there is no room yet, from starting when that
// came to nothing.
void Run::set_state(State state) {
    assert(state == State::over || static_cast<int>(state) == static_cast<int>(state_) + 1 ||
           (state_ == State::received && state == State::decided) ||
           (state_ == State::bound && state == State::admitted) ||
           (state_ == State::admitted && state == State::received) ||
           (state == State::received &&
            (state_ == State::reading || state_ == State::waiting || state_ == State::starting)));
    spdlog::debug("run of {} for uid {}: {} -> {}", asked_.action, call_->caller().uid,
                  state_names.at(static_cast<std::size_t>(state_)),
                  state_names.at(static_cast<std::size_t>(state)));
    state_ = state;
}

void Run::begin() {
    if (is_current()) {
        proceed();
    } else {
        read_first();
    }
}

bool Run::is_current() {
    const auto now = CurrentPolicy::Clock::now();
    if (now - compared_ < just_compared) return true;
    if (!environment_.current.is_current(asked_.action)) return false;
    compared_ = now;
    return true;
}

void Run::read_first() {
    set_state(State::reading);
    environment_.current.wait(call_, asked_.action, read_until_,
                              [self = shared_from_this()](bool current) {
                                  if (!current) return self->set_state(State::over);
                                  self->compared_ = CurrentPolicy::Clock::now();
                                  self->set_state(State::received);
                                  self->proceed();
                              });
}

void Run::proceed() {
    const auto decided = decide();
    if (!decided) return;
    if (!admit_or_refuse(*call_, environment_, asked_.action) || !key_fits()) {
        return set_state(State::over);
    }
    if (!may_go_straight(*decided)) return set_state(State::over);
    wait(decided->verdict.action->description.kill_on_disconnect);
}

// False: it does not, and the call is refused.
bool Run::key_fits() {
    return asked_.key.empty() || admit_key_or_refuse(*call_, environment_.jobs, asked_.action);
}

// False: its data is to go straight, and can't by this connection; the call is refused.
bool Run::may_go_straight(const Decided& decided) {
    if (hands_over_ || !straight_of(asked_, *decided.verdict.action).any()) return true;
    hands_over_ = call_->link().take_hand_over();
    if (hands_over_) return true;
    refuse("limit connection", "", Refusal::limit_reached, "connection",
           "a connection can carry one call with direct data, and none if the action's file did "
           "not say "
           "so when it was made; make a new connection for this call");
    return false;
}

std::optional<Run::Decided> Run::decide() {
    Decided decided;
    decided.snapshot = environment_.snapshot;
    decided.verdict = decide_or_refuse(*call_, *decided.snapshot, asked_.action);
    const policy::Action* const action = decided.verdict.action;
    if (action == nullptr || !reachable_or_refuse(*call_, *action) ||
        !detachable_or_refuse(*call_, *action, asked_.detach)) {
        set_state(State::over);
        return std::nullopt;
    }
    set_state(State::decided);
    digest_ = environment_.jobs.digest(call_bytes(asked_.action, asked_.arguments, asked_.input));
    Known known(std::nullopt);
    if (!asked_.key.empty()) {
        known = find_own(*call_, environment_.jobs, asked_.key, *decided.snapshot);
    }
    if (answered_as_before(known)) {
        set_state(State::over);
        return std::nullopt;
    }
    auto command = bind_or_refuse(*call_, *action, asked_.arguments, asked_.input);
    if (!command) {
        set_state(State::over);
        return std::nullopt;
    }
    set_state(State::bound);
    if (answered_by_key(known, *command)) {
        set_state(State::over);
        return std::nullopt;
    }
    decided.command = std::move(*command);
    return decided;
}

// ---- Its turn ----

void Run::wait(bool needs_its_caller) {
    set_state(State::waiting);
    jobs::StartQueue& starts = environment_.starts;
    const uid_t payer = call_->caller().payer();
    if (starts.closed()) return refuse_turn(jobs::StartQueue::Refusal::closing);
    // A packet has no connection that could wait: others of its session wait behind it.
    if (call_->is_packet() && !starts.within_rate(payer)) {
        return refuse_turn(jobs::StartQueue::Refusal::rate);
    }
    // A packet that is dropped is said to be so, and may be sent again.
    needs_its_caller_ = needs_its_caller || call_->is_packet();
    const auto self = shared_from_this();
    ticket_ =
        starts.add(payer, {[self](jobs::StartPlace place) { self->take_turn(std::move(place)); },
                           [self](jobs::StartQueue::Refusal why) {
                               self->call_->link().forget();
                               self->refuse_turn(why);
                           }});
    call_->link().keep(std::make_unique<WaitingCall>(self));
}

void Run::take_turn(jobs::StartPlace place) {
    call_->link().forget();
    set_state(State::received);
    // Another one has the place meanwhile.
    if (!is_current()) return read_first();
    const auto decided = decide();
    if (!decided) return;
    // Others may have taken the room meanwhile.
    if (!admit_or_refuse(*call_, environment_, asked_.action, true) || !key_fits()) {
        return set_state(State::over);
    }
    set_state(State::admitted);
    start(*decided, std::move(place));
}

void Run::refuse_turn(jobs::StartQueue::Refusal why) {
    using Why = jobs::StartQueue::Refusal;
    if (why == Why::rate) {
        refuse("limit startsPerUser", "", Refusal::limit_reached, "startsPerUser",
               "you start more than " + std::to_string(environment_.limits.starts_per_user) +
                   " jobs a second (limit startsPerUser); try again later");
    } else if (why == Why::busy) {
        refuse("it waited too long for its turn", "", Refusal::unavailable, "",
               "no job can be started at the moment: other starts take too long; try again later");
    } else if (why == Why::held) {
        const bool no_keeper = !environment_.jobs.output_problem().empty();
        refuse(
            no_keeper ? "postern-output is not there" : "room was being made on the disk", "",
            Refusal::unavailable, "",
            no_keeper
                ? "no job can be started at the moment: postern-output, which stores what jobs "
                  "write, is not running or serves another daemon; the administrator finds more in "
                  "posternctl status"
                : "no job can be started at the moment: room is being made on the disk; try "
                  "again later");
    } else if (why == Why::cancelled) {
        refuse("the administrator has cancelled the jobs of its user", "", Refusal::unavailable, "",
               "no job was started: the administrator has cancelled all of your jobs while this "
               "call waited for its turn");
    } else {
        refuse("the daemon is stopping", "", Refusal::retryable, "",
               "no job can be started at the moment: the daemon is stopping; try again");
    }
    set_state(State::over);
}

void Run::left() {
    if (state_ != State::waiting || !needs_its_caller_) return;
    AuditEvent event = call_->event(AuditEvent::Kind::call_refused, asked_.action);
    event.reason = "its caller left before its turn";
    call_->audit(event);
    set_state(State::over);
    // May let this go.
    const auto self = shared_from_this();
    environment_.starts.remove(ticket_);
}

void Run::answer_known(const jobs::Record& record) {
    spdlog::debug("job {}: found again by its key", record.job.text());
    if (is_detached() && record.state != jobs::RecordState::failed) {
        return call_->answer(Detached{record.job});
    }
    answer_with(call_, environment_.jobs, record);
}

bool Run::answered_as_before(const Known& found) {
    if (!found) return false;
    const std::optional<jobs::Record>& known = *found;
    if (!known || known->requester.call != digest_) return false;
    answer_known(*known);
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
        answer_known(*known);
        return true;
    }
    refuse("the key is in use", known->job.text(), Refusal::key_in_use, asked_.key,
           "the key " + asked_.key + " was given to another call, which started job " +
               known->job.text() + " (" + known->action + "); a new call needs a new key");
    return true;
}

void Run::start(const Decided& decided, jobs::StartPlace place) {
    const policy::Verdict& verdict = decided.verdict;
    std::unique_ptr<jobs::Follower> follower;
    std::shared_ptr<DirectRun> direct;
    // A reload may have made it direct while it waited.
    if (hands_over_) {
        if (const jobs::Straight straight = straight_of(asked_, *verdict.action); straight.any()) {
            direct = std::make_shared<DirectRun>(environment_.jobs, straight);
        }
    }
    if (!is_detached()) {
        follower = std::make_unique<Starter>(call_, asked_.action, shared_from_this(), direct);
    }
    const auto admit = [&](const JobId& job) {
        AuditEvent event = call_->event(AuditEvent::Kind::job_started, asked_.action);
        event.rule = verdict.rule;
        event.place = verdict.place;
        event.job = job.text();
        event.arguments = audit_arguments(decided.command.shown);
        if (!call_->audit(event)) return false;
        environment_.job_audit.remember(job, call_->origin().caller);
        set_state(State::recorded);
        return true;
    };
    jobs::Requester requester = requester_of(*call_, environment_.jobs, asked_.key);
    requester.call = digest_;
    requester.rule = verdict.rule;
    requester.rule_place = verdict.place;
    const auto job = environment_.jobs.start(*verdict.action, decided.command, requester,
                                             std::move(place), std::move(follower), admit);
    if (!job && waits_for_room()) return;
    if (!job) {
        const std::string audit = environment_.job_audit.audit_problem();
        const std::string& why = audit.empty() ? job.error().message : audit;
        spdlog::error("{}: no job can be started: {}", asked_.action, why);
        const std::string full = environment_.jobs.disk_full();
        refuse(why, "", Refusal::unavailable, "",
               full.empty() ? told_of_no_record : told_of_full_disk(full));
        return set_state(State::over);
    }
    set_state(State::starting);
    ++starts_;
    if (is_detached()) {
        call_->answer(Detached{*job});
    } else if (direct) {
        call_->link().keep(std::make_unique<DirectlyFollowed>(environment_.jobs, *job, direct));
    } else {
        call_->link().keep(
            std::make_unique<Followed>(environment_.jobs, *job, jobs::first_follower));
    }
}

bool Run::waits_for_room() {
    if (!environment_.jobs.makes_room() || ++starts_ >= most_starts) return false;
    set_state(State::received);
    begin();
    return true;
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
