#include "daemon/jobs/unit/unit_job.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <csignal>
#include <string_view>
#include <utility>

#include "base/utf8.h"
#include "daemon/jobs/job_command.h"
#include "daemon/jobs/unit/unit_message.h"
#include "daemon/jobs/unit/unit_result.h"
#include "daemon/jobs/unit/unit_spec.h"
#include "daemon/loop/clock.h"
#include "host/cgroup_processes.h"

namespace postern::jobs {
namespace {

// How long until systemd is asked again that gave no answer.
constexpr std::chrono::milliseconds ask_again_interval{500};

// What its process leaves behind may be ending by itself, as what writes into a pipe whose reader
// has ended: so long it has before the unit is stopped, and it is told of.
constexpr std::chrono::milliseconds unit_lingering_time{100};

bool names_property(std::string_view message, std::string_view name) {
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    for (std::size_t at = message.find(name); at != std::string_view::npos;
         at = message.find(name, at + 1)) {
        const std::size_t end = at + name.size();
        const bool whole = (at == 0 || !is_letter(message[at - 1])) &&
                           (end == message.size() || !is_letter(message[end]));
        if (whole) return true;
    }
    return false;
}

}  // namespace

template <typename Argument>
auto UnitJob::guarded(void (UnitJob::*method)(Argument)) {
    return [weak = std::weak_ptr<UnitJob*>(self_), method](Argument argument) {
        if (const auto self = weak.lock()) ((*self)->*method)(argument);
    };
}

UnitJob::UnitJob(JobHost& host, ServiceManager& services, UnitJobs& all, JobParts parts)
    : Job(host, std::move(parts)),
      services_(services),
      all_(all),
      cause_(this->record().ending),
      retry_timer_(make_timer([this] { ask_again(); })),
      kill_timer_(make_timer([this] { kill(); })),
      linger_timer_(make_timer([this] { look_at_left_behind(); })),
      self_(std::make_shared<UnitJob*>(this)) {
    all_.emplace(this->record().unit, this);
}

UnitJob::~UnitJob() {
    all_.erase(record().unit);
}

void UnitJob::set_state(State state) {
    constexpr std::array<const char*, 5> names = {"submitting", "fencing", "watching", "stopping",
                                                  "ended"};
    // Only forward.
    assert(state > state_);
    moved(names[static_cast<std::size_t>(state_)], names[static_cast<std::size_t>(state)]);
    state_ = state;
}

void UnitJob::clean_up() {
    set_state(State::ended);
}

// ---- Start ----

void UnitJob::start(const policy::Action& action, const policy::Command& command) {
    // Judged again, as before each start; systemd then takes it by its path, which only root can
    // change.
    const auto program = program_of(action);
    auto stdin_file = stdin_of(command, stdin_end());
    if (!program) return fail_later(program.error());
    if (!stdin_file) return fail_later({StartFailure::cannot, stdin_file.error().message});
    stdin_file_ = std::move(*stdin_file);
    UnitSpec spec = unit_spec(action, command, record());
    spec.kill_grace = host().settings().kill_grace;
    spec.stdin_file = stdin_file_.get();
    spec.stdout_file = output().stream(0).write_end.get();
    spec.stderr_file = output().stream(1).write_end.get();
    sandbox_ = spec.sandbox;
    services_.start(spec, guarded(&UnitJob::answered));
}

void UnitJob::resume() {
    unseen_ = true;
    if (record().state == RecordState::starting) {
        set_state(State::fencing);
        fence();
    } else if (record().result_known) {
        set_state(State::stopping);
        services_.stop(record().unit);
        if (ends_at_once()) kill();
        look();
    } else {
        set_state(State::watching);
        look();
        if (is_being_ended()) terminate();
    }
}

void UnitJob::answered(const std::optional<CallError>& error) {
    // systemd has its own, or gets none any more.
    stdin_file_.reset();
    if (!error) return accepted();
    if (!error->name.empty()) return refused(*error);
    // It may have come to systemd all the same, or may yet come.
    set_state(State::fencing);
    fence();
}

void UnitJob::refused(const CallError& error) {
    std::string detail = "systemd refuses the job's unit: " + printable(error.message);
    const auto named = std::ranges::find_if(sandbox_, [&](const policy::UnitProperty& property) {
        return names_property(error.message, property.name) ||
               names_property(error.message, property.key);
    });
    if (named != sandbox_.end()) {
        detail = named->place + ": sandbox." + named->key + ": systemd refuses it (" +
                 printable(error.message) + "); correct it";
    }
    fail_start({"the program could not be started: systemd refuses its unit", std::move(detail)});
}

void UnitJob::accepted() {
    set_state(State::watching);
    sandbox_.clear();
    own_record().state = RecordState::running;
    own_record().result.started = wall_clock();
    // Where that fails the old record says that it was being started, and that is found out later.
    write_record("the start");
    look();
    if (is_being_ended()) terminate();
}

void UnitJob::fence() {
    services_.fence(record().unit, guarded(&UnitJob::fenced));
}

void UnitJob::fenced(const std::optional<CallError>& error) {
    if (!error) {
        never_began();
    } else if (error->name == "org.freedesktop.systemd1.UnitExists") {
        services_.state(record().unit, guarded(&UnitJob::recognised));
    } else {
        if (!error->name.empty()) {
            host().notice("job " + id().text() + ": whether it was started can't be found out: " +
                          printable(error->message));
        }
        arm(retry_timer_, ask_again_interval);
    }
}

// The unit that is there is the job, or a fence that we, or a guard before us, put up already.
void UnitJob::recognised(const std::optional<UnitState>& state) {
    if (!state) {
        arm(retry_timer_, ask_again_interval);
    } else if (state->description == fence_description) {
        never_began();
    } else {
        accepted();
    }
}

void UnitJob::never_began() {
    fail_start({"the program could not be started: the connection to systemd broke",
                "the connection to systemd broke before it took the job's unit", true});
}

void UnitJob::ask_again() {
    if (state_ == State::fencing) {
        fence();
    } else {
        look();
    }
}

// ---- Its life ----

void UnitJob::changed(const UnitChanges& changes) {
    if (state_ != State::watching && state_ != State::stopping) return;
    // A unit that somebody stops is gone before it can be asked how its process ended. What comes
    // when we stop it is not about its process.
    if (state_ == State::watching) take(changes);
    look();
}

// What is known of the end of its process is only added to: what is read now may have been asked
// for before the end, though the news of it came first.
void UnitJob::take(const UnitChanges& changes) {
    if (changes.main_code.value_or(0) != 0) {
        last_.main_code = *changes.main_code;
        last_.main_status = changes.main_status.value_or(0);
    }
    if (changes.result && !changes.result->empty() &&
        (last_.result.empty() || *changes.result != "success")) {
        last_.result = *changes.result;
    }
}

void UnitJob::reconnected() {
    missed_ = true;
    // What was said last may not have been heard.
    if (state_ == State::stopping) services_.stop(record().unit);
    // The time that it has goes on, however often a connection breaks.
    if (state_ == State::watching && is_being_ended()) killed_ ? kill() : ask_to_end();
    changed({});
}

void UnitJob::kill() {
    killed_ = true;
    services_.kill(record().unit, SIGKILL);
}

void UnitJob::look() {
    again_ = looking_;
    if (looking_) return;
    looking_ = true;
    services_.state(record().unit, guarded(&UnitJob::seen));
}

void UnitJob::seen(const std::optional<UnitState>& state) {
    looking_ = false;
    if (state_ == State::ended) return;  // and the rest of its output is awaited
    if (!state) return again_ ? look() : arm(retry_timer_, ask_again_interval);
    // As long as it waits for its turn it is inactive as well.
    // What has ignored TERM leaves the unit failed.
    const bool over = state_ == State::stopping
                          ? state->active == "inactive" || state->active == "failed"
                          : state->main_code != 0 && state->active_afterwards == "inactive";
    if (state->load == "not-found" || over) return gone();
    if (state_ == State::watching) {
        const UnitChanges heard{last_.main_code, last_.main_status, last_.result};
        last_ = *state;
        take(heard);
    }
    if (state_ == State::watching && !told_ && was_executed(*state)) {
        told_ = true;
        program_runs();
        // A signal finds nobody before.
        if (is_being_ended()) terminate();
    }
    if (state_ == State::watching && is_final(*state)) {
        kill_timer_.disarm();
        const bool failed = state->active == "failed";
        // What else it started continues until the unit is stopped; nothing runs in one that has
        // failed.
        if (!lingers_ && !is_being_ended() && !failed && left_behind() > 0) {
            lingers_ = true;
            arm(linger_timer_, unit_lingering_time);
        }
        // It ended when no guard was there, and nothing of it ran on.
        if (unseen_ && !lingers_) own_record().result.ended = last_.main_exited;
        if (!lingers_ || failed) return process_ended();
    }
    unseen_ = false;
    if (again_) look();
}

std::size_t UnitJob::left_behind() {
    if (last_.control_group.empty()) return 0;
    return count_processes(host().settings().cgroup_root + last_.control_group);
}

void UnitJob::look_at_left_behind() {
    if (state_ != State::watching) return;
    own_record().result.ended_processes = static_cast<std::uint32_t>(left_behind());
    process_ended();
}

void UnitJob::process_ended() {
    set_state(State::stopping);
    if (told_) {
        // On disk before systemd may forget it: a guard that dies now leaves no riddle.
        take_result();
        own_record().result_known = true;
        write_record("how the process ended");
    }
    if (last_.active == "failed") return gone();
    services_.stop(record().unit);
    if (again_) look();
}

// Nothing of it runs any more. Where no final state was seen somebody else has stopped it.
void UnitJob::gone() {
    services_.reset_failed(record().unit);
    if (!told_ && was_executed(last_)) {
        told_ = true;
        program_runs();
    }
    conclude();
}

void UnitJob::take_result() {
    const JobResult before = record().result;
    JobResult& result = own_record().result;
    result = result_of(last_, cause_);
    result.ended = before.ended;
    result.ended_processes = before.ended_processes;
    result.cancelled_by = before.cancelled_by;
    result.other_outcome = before.other_outcome;
    if (result.started == Time{}) result.started = before.started;
}

void UnitJob::conclude() {
    if (record().result_known) return finish();
    if (!told_ && last_.main_code == 0 && last_.active.empty()) {
        // Nobody has seen it since the guard that started it died.
        own_record().result.outcome = Outcome::lost;
        return finish();
    }
    if (!told_ && !was_executed(last_)) {
        StartFailure failure = start_failure(last_, record().unit);
        // It was waiting for its turn and went: a process would have been told of before.
        failure.again = last_.main_code == 0 && last_.result == "success" && !missed_;
        return fail_start(failure);
    }
    take_result();
    finish();
}

// ---- Its end, if it is ours ----

void UnitJob::end(Outcome outcome) {
    if (is_being_ended() || lingers_ || state_ >= State::stopping) return;
    cause_ = outcome;
    own_record().ending = outcome;
    write_record("that it is ended");
    if (state_ == State::watching) terminate();
}

// One whose start is not accepted yet is ended when that is. What is left of one whose main process
// has ended is ended by systemd, and perhaps sooner by this.
void UnitJob::carry_out(const Cancellation& how) {
    if (state_ != State::watching && state_ != State::stopping) return;
    if (how.now) {
        kill_timer_.disarm();
        kill();
    } else if (killed_) {
        return;
    } else if (state_ == State::watching && !lingers_ && !ends_) {
        terminate();
    } else {
        ask_to_end();
    }
}

// By signals and not by stopping the unit: so it keeps its result until we have read it.
void UnitJob::terminate() {
    ends_ = true;
    if (ends_at_once()) return kill();
    ask_to_end();
    arm(kill_timer_, host().settings().kill_grace);
}

void UnitJob::ask_to_end() {
    services_.kill(record().unit, ending_signal());
    services_.kill(record().unit, SIGCONT);
}

}  // namespace postern::jobs
