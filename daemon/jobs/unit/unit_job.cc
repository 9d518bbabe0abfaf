#include "daemon/jobs/unit/unit_job.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <csignal>
#include <span>
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

// How its process ended is written down when the rest of its output is there, or after so long.
constexpr std::chrono::milliseconds rest_patience{100};

// Of so many jobs the main process is watched: each takes four descriptors.
constexpr std::size_t most_watched = 1024;

using Phase = UnitView::Phase;

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

UnitJob::UnitJob(JobHost& host, const Around& around, JobParts parts, std::unique_ptr<Spare> spare)
    : Job(host, std::move(parts)),
      services_(around.services),
      cleaner_(around.cleaner),
      spares_(around.spares),
      all_(around.all),
      cause_(this->record().ending),
      retry_timer_(make_timer([this] { ask_again(); })),
      kill_timer_(make_timer([this] { kill(); })),
      linger_timer_(make_timer([this] { count_left_behind(); })),
      limit_timer_(make_timer([this] { end(Outcome::timeout); })),
      self_(std::make_shared<UnitJob*>(this)) {
    all_.emplace(this->record().unit, this);
    if (spare) set_order(std::move(spare));
}

UnitJob::~UnitJob() {
    all_.erase(record().unit);
    if (record().state == RecordState::ended) spares_.ran(record().action);
    // Its record says how it ended: nothing else needs the unit.
    if (state_ != State::ended || !is_over(record().state)) return;
    if (is_early_) {
        cleaner_.await(record().unit, std::move(view_), missed_);
    } else if (view_.phase() == Phase::over) {
        cleaner_.add(record().unit, view_.state().active == "failed");
    }
}

void UnitJob::set_state(State state) {
    constexpr std::array<const char*, 6> names = {"submitting", "fencing",  "watching",
                                                  "measuring",  "stopping", "ended"};
    // Only forward.
    assert(state > state_);
    moved(names[static_cast<std::size_t>(state_)], names[static_cast<std::size_t>(state)]);
    state_ = state;
}

void UnitJob::clean_up() {
    main_.reset();
    set_state(State::ended);
}

// ---- Start ----

void UnitJob::prepare() {
    if (order_) return;
    services_.environment_names(guarded(&UnitJob::asked));
}

void UnitJob::start(const policy::Action& action, const policy::Command& command) {
    // Judged again, as before each start; systemd then takes it by its path, which only root can
    // change.
    const auto program = program_of(action);
    auto stdin_file = stdin_of(command, stdin_end());
    if (!program) return fail_later(program.error());
    if (!stdin_file) return fail_later({StartFailure::cannot, stdin_file.error().message});
    stdin_file_ = std::move(*stdin_file);
    spec_ = unit_spec(action, command, record());
    spec_->kill_grace = host().settings().kill_grace;
    spec_->stdin_file = stdin_file_.get();
    spec_->stdout_file = output().stream(0).write_end.get();
    spec_->stderr_file = output().stream(1).write_end.get();
    using Clock = std::chrono::steady_clock;
    has_time_until_ =
        spec_->timeout.count() == 0 ? Clock::time_point::max() : Clock::now() + spec_->timeout;
    if (order_) order_->give({spec_->program, spec_->argv, spec_->environment});
}

// ---- ... in a unit that has waited for it ----

void UnitJob::set_order(std::unique_ptr<Spare> spare) {
    SpareOrder::Hooks hooks;
    hooks.taken = [this] { accepted(); };
    hooks.begun = [this] {
        if (state_ == State::watching && !told_) tell_that_it_runs();
    };
    hooks.failed = [this] { start_without_spare(); };
    order_ = std::make_unique<SpareOrder>(host(), services_, spares_, std::move(spare),
                                          std::move(hooks));
    view_ = order_->view();
}

// Nothing of it was run. Its record says so when it is written next: a guard that dies before that
// finds the same unit either way.
void UnitJob::start_without_spare() {
    order_.reset();
    own_record().spare = false;
    own_record().timeout = {};
    view_ = {};
    start_done_ = false;
    prepare();
}

// As systemd says it of one without a spare.
void UnitJob::not_executed() {
    UnitState state;
    state.main_code = CLD_EXITED;
    state.main_status = launcher::exec_failed_status;
    fail_start(start_failure(state, record().unit));
}

// systemd's own is the one from when the unit was made, and then the time that it may wait.
void UnitJob::keep_time_limit() {
    if (!record().spare || record().timeout.count() == 0) return;
    const auto end = record().result.started + record().timeout;
    arm(limit_timer_, std::max(end - wall_clock(), Time::duration(0)));
}

// From the loop, and so after start().
void UnitJob::asked(const Result<std::vector<std::string>, CallError>& environment_names) {
    if (!spec_) return;  // it fails in a moment
    if (!environment_names) return answered(environment_names.error());
    services_.start(*spec_, *environment_names, guarded(&UnitJob::answered));
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
        keep_time_limit();
    }
}

void UnitJob::answered(const std::optional<CallError>& error) {
    // systemd has its own, or gets none any more.
    stdin_file_.reset();
    if (!error) return accepted();
    if (!error->name.empty()) return refused(*error);
    // It may have come to systemd all the same, or may yet come. From here on the unit may be a
    // fence.
    set_state(State::fencing);
    view_ = {};
    start_done_ = false;
    fence();
}

void UnitJob::refused(const CallError& error) {
    std::string detail = "systemd refuses the job's unit: " + printable(error.message);
    // What was refused is still there.
    const auto sandbox = spec_ ? std::span<const policy::UnitProperty>(spec_->sandbox)
                               : std::span<const policy::UnitProperty>();
    const auto named = std::ranges::find_if(sandbox, [&](const policy::UnitProperty& property) {
        return names_property(error.message, property.name) ||
               names_property(error.message, property.key);
    });
    if (named != sandbox.end()) {
        detail = named->place + ": sandbox." + named->key + ": systemd refuses it (" +
                 printable(error.message) + "); correct it";
    }
    fail_start({"the program could not be started: systemd refuses its unit", std::move(detail)});
}

void UnitJob::accepted() {
    set_state(State::watching);
    spec_.reset();
    own_record().state = RecordState::running;
    own_record().result.started = wall_clock();
    // Where that fails the old record says that it was being started, and that is found out later.
    write_record("the start");
    if (is_being_ended()) terminate();
    keep_time_limit();
    if (order_ && missed_) look();
    act();
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
    } else if (record().spare && was_never_ordered(*state)) {
        view_.take(*state);
        never_began();
    } else if (record().spare && !std::exchange(may_be_leaving_, true)) {
        // Its launcher may be about to see that nobody tells it anything any more.
        arm(retry_timer_, ask_again_interval);
    } else {
        accepted();
        look();
    }
}

void UnitJob::never_began() {
    fail_start({"the program could not be started: the connection to systemd broke",
                "the connection to systemd broke before it took the job's unit", true});
}

void UnitJob::ask_again() {
    switch (state_) {
        case State::fencing:
            return fence();
        case State::ended:
            return write_how_it_ended();
        default:
            return look();
    }
}

// ---- Its life ----

void UnitJob::changed(Told told, const UnitNews& news) {
    if (state_ == State::fencing) return;
    view_.take(news);
    if (told == Told::removed) view_.removed();
    if (told == Told::job_removed) start_done_ = true;
    // Of a change that is told in two halves, the service's comes first.
    if (told == Told::changed && !news.active) return;
    if (told != Told::job_removed) heard_ = true;
    if (order_ && !order_->is_taken()) return order_->changed(view_);
    act();
}

void UnitJob::reloaded() {
    if (state_ == State::watching || state_ == State::stopping) look();
}

void UnitJob::reconnected() {
    missed_ = true;
    // What was said last may not have been heard.
    if (state_ == State::stopping) services_.stop(record().unit);
    // The time that it has goes on, however often a connection breaks.
    if (state_ == State::watching && is_being_ended()) killed_ ? kill() : ask_to_end();
    reloaded();
}

void UnitJob::kill() {
    killed_ = true;
    services_.kill(record().unit, SIGKILL);
}

void UnitJob::look() {
    again_ = looking_;
    if (looking_) return;
    looking_ = true;
    heard_ = false;
    services_.state(record().unit, guarded(&UnitJob::seen));
}

void UnitJob::seen(const std::optional<UnitState>& state) {
    looking_ = false;
    if (state_ != State::watching && state_ != State::stopping) return;
    if (again_) return look();
    if (!state) return arm(retry_timer_, ask_again_interval);
    // What was told since it began is as whole, and newer than what it found first.
    if (heard_) return;
    view_.take(*state);
    act();
}

void UnitJob::act() {
    if (state_ == State::watching) return act_while_watching();
    if (state_ != State::stopping) return;
    // What has ignored TERM leaves the unit failed.
    const std::string& active = view_.state().active;
    const bool is_over = active == "inactive" || active == "failed";
    if (is_over || view_.phase() == Phase::gone) conclude();
}

void UnitJob::act_while_watching() {
    const Phase phase = view_.phase();
    watch_main_process();
    const bool is_there = phase >= Phase::starting && phase <= Phase::over;
    if (order_ && !told_ && order_->was_not_executed()) {
        // Once nothing of the unit is left but what is to be forgotten.
        if (phase >= Phase::over) not_executed();
        return;
    }
    // What systemd has seen executed there is the launcher.
    const bool is_known = !order_ || order_->has_begun() || phase > Phase::running;
    if (!told_ && is_there && is_known && was_executed(view_.state())) tell_that_it_runs();
    if (phase == Phase::over) {
        // It ended when no guard was there, and nothing of it ran on.
        if (unseen_) own_record().result.ended = view_.state().main_exited;
    } else if (is_there) {
        unseen_ = false;
    }
    switch (phase) {
        case Phase::unseen:
        case Phase::queued:
            // The news of it is lost in what systemd had to tell of others, or it never began.
            if (std::exchange(start_done_, false)) look();
            return;
        case Phase::starting:
        case Phase::running:
            return;
        case Phase::left_behind:
            if (lingers_) return;
            if (is_being_ended()) return process_ended();
            return find_left_behind();
        case Phase::ending:
            // It is forgotten afterwards, where somebody has stopped it.
            if (!std::exchange(asked_early_, true)) ask_usage();
            return;
        case Phase::over:
            return process_ended();
        case Phase::gone:
            return conclude();
    }
}

void UnitJob::watch_main_process() {
    if (view_.main_pid() == 0 || std::exchange(main_was_seen_, true)) return;
    if (order_) main_ = order_->take_main();
    const auto ended = [this](const std::optional<MainExit>& exit) { main_ended(exit); };
    if (main_) return main_->tell(ended);
    if (all_.size() > most_watched) return;
    const MainProcess::Places places{host().settings().proc_root, host().settings().cgroup_root};
    main_ = MainProcess::watch(host().event(), places, view_.main_pid(), record().unit, ended);
}

void UnitJob::main_ended(const std::optional<MainExit>& exit) {
    read_usage();
    if (!exit) return;
    main_.reset();
    if (state_ != State::watching || !says_all(*exit)) return;
    view_.take(*exit);
    is_early_ = true;
    conclude();
}

// Whether systemd could tell nothing else of how it ended. What is killed may have been killed by
// systemd, and what systemd asks to end may exit as if it had not been asked.
bool UnitJob::says_all(const MainExit& exit) {
    const bool has_run = order_ ? !order_->was_not_executed() : told_;
    return exit.code == CLD_EXITED && has_run && usage_is_known_ && !lacks_memory_ &&
           !is_being_ended() && !lingers_ && has_time_until_ &&
           std::chrono::steady_clock::now() < *has_time_until_;
}

// Its process has ended: what the unit has used can be read until systemd removes its cgroup, which
// it does before it tells of the end.
void UnitJob::read_usage() {
    if (!main_ || usage_is_known_ || main_->population() != MainProcess::Population::none) return;
    const UnitUsage usage = main_->usage();
    view_.take(usage);
    usage_is_known_ = usage.cpu.has_value();
    lacks_memory_ = main_->may_lack_memory();
}

void UnitJob::tell_that_it_runs() {
    told_ = true;
    program_runs();
    // A signal finds nobody before, and nobody afterwards.
    if (is_being_ended() && view_.phase() != Phase::over) terminate();
}

// What else it started continues until the unit is stopped.
void UnitJob::find_left_behind() {
    lingers_ = true;
    if (!view_.state().control_group.empty()) return found(view_.state().control_group);
    services_.control_group(record().unit, guarded(&UnitJob::found));
}

void UnitJob::found(const std::optional<std::string>& control_group) {
    if (state_ != State::watching) return;
    if (!control_group) {
        lingers_ = false;
        return arm(retry_timer_, ask_again_interval);
    }
    control_group_ = *control_group;
    arm(linger_timer_, unit_lingering_time);
}

void UnitJob::count_left_behind() {
    if (state_ != State::watching) return;
    if (!control_group_.empty()) {
        own_record().result.ended_processes = static_cast<std::uint32_t>(
            count_processes(host().settings().cgroup_root + control_group_));
    }
    process_ended();
}

void UnitJob::ask_usage() {
    services_.usage(record().unit, guarded(&UnitJob::measured));
}

void UnitJob::process_ended() {
    kill_timer_.disarm();
    if (!told_) return conclude();
    read_usage();
    if (usage_is_known_ && view_.phase() == Phase::over) return conclude();
    set_state(State::measuring);
    ask_usage();
}

void UnitJob::measured(const UnitUsage& usage) {
    view_.take(usage);
    if (state_ != State::measuring) return;
    if (view_.phase() == Phase::over || view_.phase() == Phase::gone) return conclude();
    take_result();
    // Before systemd may forget it: a guard that dies now leaves no riddle.
    write_how_it_ended();
    set_state(State::stopping);
    services_.stop(record().unit);
    if (ends_at_once()) kill();
}

void UnitJob::write_how_it_ended() {
    own_record().result_known = true;
    write_record("how the process ended");
}

void UnitJob::take_result() {
    const JobResult before = record().result;
    JobResult& result = own_record().result;
    result = result_of(view_.state(), cause_);
    result.ended = before.ended;
    result.ended_processes = before.ended_processes;
    result.cancelled_by = before.cancelled_by;
    result.other_outcome = before.other_outcome;
    if (result.started == Time{} || record().spare) result.started = before.started;
}

// Nothing of it runs any more. Where that was not seen somebody else has stopped it.
void UnitJob::conclude() {
    if (record().result_known) return finish();
    const UnitState& last = view_.state();
    if (!told_ && was_executed(last)) {
        told_ = true;
        program_runs();
    }
    if (!told_ && last.main_code == 0 && last.active.empty()) {
        // Nobody has seen it since the guard that started it died.
        own_record().result.outcome = Outcome::lost;
        return finish();
    }
    if (!told_) {
        StartFailure failure = start_failure(last, record().unit);
        // It was waiting for its turn and went: a process would have been told of before.
        failure.again = last.main_code == 0 && last.result == "success" && !missed_;
        return fail_start(failure);
    }
    take_result();
    if (!output().is_drained()) {
        // The unit stays until its record says how it ended, where it is not gone already.
        if (view_.phase() == Phase::gone) {
            write_how_it_ended();
        } else {
            arm(retry_timer_, rest_patience);
        }
    }
    finish();
}

// ---- Its end, if it is ours ----

void UnitJob::end(Outcome outcome) {
    if (is_being_ended() || lingers_ || state_ >= State::measuring) return;
    cause_ = outcome;
    own_record().ending = outcome;
    write_record("that it is ended");
    if (state_ == State::watching) terminate();
}

// One whose start is not accepted yet is ended when that is. What is left of one whose main process
// has ended is ended by systemd, and perhaps sooner by this.
void UnitJob::carry_out(const Cancellation& how) {
    if (state_ < State::watching || state_ == State::ended) return;
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
