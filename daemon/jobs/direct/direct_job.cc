#include "daemon/jobs/direct/direct_job.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "daemon/jobs/direct/launch_job.h"
#include "daemon/jobs/direct/proc.h"
#include "daemon/jobs/job_command.h"
#include "daemon/loop/clock.h"

namespace postern::jobs {
namespace {

// Where no file tells when the last process is gone.
constexpr std::chrono::milliseconds poll_interval{50};
// What the main process leaves behind may be ending by itself, as what writes into a pipe whose
// reader has ended: so long it has before it is ended, and told of.
constexpr std::chrono::milliseconds lingering_time{100};
// After KILL, where it is not certain that all go.
constexpr std::chrono::seconds kill_patience{2};

std::string failed_at(const launcher::Report& report) {
    // That it is there, and its interpreter, was looked at before.
    if (report.stage == launcher::Stage::exec && report.error == ENOENT) {
        return "it is there, but not the dynamic loader that it needs (readelf -l shows which)";
    }
    if (report.stage == launcher::Stage::exec && report.error == ENOEXEC) {
        return "it is neither a script with #! in its first line nor a program for this machine";
    }
    return std::strerror(report.error) + std::string(" while ") +
           std::string(launcher::doing(report.stage));
}

std::chrono::microseconds span_of(const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

DirectJob::DirectJob(JobHost& host, JobParts parts, std::unique_ptr<Processes> processes,
                     LauncherStock& launchers)
    : Job(host, std::move(parts)),
      processes_(std::move(processes)),
      launchers_(launchers),
      timer_(make_timer([this] { time_is_up(); })),
      poll_timer_(make_timer([this] { poll(); })),
      again_timer_(make_timer([this] { terminate_rest(); })) {}

DirectJob::~DirectJob() {
    if (cgroup_watch_ >= 0) host().unwatch(cgroup_watch_);
    if (state_ == State::ended) {
        launchers_.ran();
        return;
    }
    if (launched_.pid <= 0) return;
    signal_process(launched_.process, SIGKILL);
    processes_->kill();
    // Not waited for: it may take its time. The guard ends, and init reaps.
}

void DirectJob::clean_up() {
    set_state(State::ended);
    processes_->remove();
}

void DirectJob::set_state(State state) {
    constexpr std::array<const char*, 7> names = {"starting",    "released", "running", "lingering",
                                                  "terminating", "killing",  "ended"};
    // Only forward.
    assert(state > state_);
    moved(names[static_cast<std::size_t>(state_)], names[static_cast<std::size_t>(state)]);
    state_ = state;
}

void DirectJob::start(const policy::Action& action, const policy::Command& command) {
    timeout_ = action.description.timeout;
    const auto program = program_of(action);
    if (!program) return fail_later(program.error());
    Result<Launched> launched = launch_job(launchers_, host().settings(), action, command, record(),
                                           output(), program->get(), stdin_end());
    if (!launched) {
        fail_later({"the program could not be started", launched.error().message});
    } else if (!watch(std::move(*launched))) {
        fail_later({"the program could not be started", "the event loop is full"});
    }
}

bool DirectJob::watch(Launched launched) {
    launched_ = std::move(launched);
    processes_->set_main(launched_.pid);
    const int control = add_io(host().event(), control_source_, launched_.control.get(), EPOLLIN,
                               [this](std::uint32_t) { read_control(); });
    const int exit = add_io(host().event(), exit_source_, launched_.process.get(), EPOLLIN,
                            [this](std::uint32_t) { main_gone(); });
    if (control < 0 || exit < 0) {
        // It has not run anything and dies at once: no harm in waiting for it.
        signal_process(launched_.process, SIGKILL);
        reap();
        return false;
    }
    arm(timer_, host().settings().start_patience);
    return true;
}

// One message of the launcher's. Whether there may be another one.
bool DirectJob::read_control() {
    if (!launched_.control) return false;
    // One more than a report has: a longer packet shows.
    std::array<std::uint8_t, launcher::ReportBytes{}.size() + 1> bytes{};
    const ssize_t got = recv(launched_.control.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) return true;
    if (got < 0 && errno == EAGAIN) return false;
    if (got <= 0) {
        control_source_.reset();
        launched_.control.reset();
        // End of file after the word was taken: the exec closed it. ECONNRESET: the launcher died
        // with the word unread (unix(7)); its exit comes. A launcher that is killed between reading
        // the word and its exec looks like a program that was killed at once.
        if (got == 0 && state_ == State::released && !giving_up_) run();
        return false;
    }
    const auto report =
        launcher::decode_report(std::span(bytes.data(), static_cast<std::size_t>(got)));
    if (!report) {
        give_up({"the program could not be started", "launcher: " + report.error().message});
    } else if (report->stage != launcher::Stage::ready) {
        std::string what(StartFailure::cannot);
        what.append(": ").append(failed_at(*report));
        give_up({what, what});
    } else if (state_ == State::starting && !giving_up_) {
        release();
    }
    return true;
}

void DirectJob::release() {
    own_record().state = RecordState::running;
    own_record().pid = launched_.pid;
    own_record().pid_start = launched_.start;
    own_record().result.started = wall_clock();
    if (const Status written = host().records().write(own_record()); !written) {
        own_record().state = RecordState::starting;
        give_up({"the job's record can't be written", written.error().message});
        return;
    }
    set_state(State::released);
    // To a launcher that is dead already it fails; then its exit is what counts.
    static_cast<void>(send(launched_.control.get(), &launcher::go, sizeof(launcher::go),
                           MSG_DONTWAIT | MSG_NOSIGNAL));
}

void DirectJob::run() {
    set_state(State::running);
    if (timeout_.count() != 0) {
        arm(timer_, timeout_);
    } else {
        timer_.disarm();
    }
    program_runs();
    // Asked to end between the word and the exec.
    if (state_ == State::running && (cause_ || is_cancelled())) begin_to_end();
}

void DirectJob::give_up(StartFailure failure) {
    if (!giving_up_) giving_up_ = std::move(failure);
    // Its user may have stopped it, so that it would not end by itself.
    signal_process(launched_.process, SIGKILL);
}

void DirectJob::main_gone() {
    // What it said before comes first: both may be there in one round of the loop.
    while (read_control()) {
    }
    exit_source_.reset();
    main_gone_ = true;
    if (state_ == State::starting || state_ == State::released) {
        reap();
        const std::string how = own_record().result.by_signal
                                    ? "signal " + std::to_string(own_record().result.status)
                                    : "exit code " + std::to_string(own_record().result.status);
        fail_start(giving_up_.value_or(
            StartFailure{"the program could not be started: its launcher was ended",
                         "the launcher ended unexpectedly, " + how}));
        return;
    }
    if (processes_->can_reap_main()) reap();
    if (state_ == State::terminating) {
        terminate_rest();
        arm(again_timer_, lingering_time);
    }
    look_at_processes();
}

void DirectJob::reap() {
    if (reaped_) return;
    reaped_ = true;
    int status = 0;
    rusage usage{};
    pid_t got = -1;
    while ((got = wait4(launched_.pid, &status, 0, &usage)) < 0 && errno == EINTR) {
    }
    processes_->set_main(-1);
    if (got != launched_.pid) return;
    JobResult& result = own_record().result;
    result.by_signal = WIFSIGNALED(status);
    result.status = result.by_signal ? WTERMSIG(status) : WEXITSTATUS(status);
    result.cpu = span_of(usage.ru_utime) + span_of(usage.ru_stime);
    result.max_resident_kib = static_cast<std::uint64_t>(usage.ru_maxrss);
}

void DirectJob::look_at_processes() {
    if (!main_gone_) return;
    if (processes_->empty()) {
        conclude();
    } else if (state_ == State::running) {
        set_state(State::lingering);
        arm(timer_, lingering_time);
        watch_processes();
    }
}

// Looks again at once, if there is no watch; with one, because the last may have gone before it was
// there.
void DirectJob::watch_processes() {
    const std::string file = processes_->watched_file();
    if (cgroup_watch_ < 0 && !file.empty()) cgroup_watch_ = host().watch(*this, file);
    arm(poll_timer_, std::chrono::microseconds(0));
}

void DirectJob::terminate(int signal) {
    set_state(State::terminating);
    arm(timer_, host().settings().kill_grace);
    processes_->terminate(signal);
    watch_processes();
    if (main_gone_) arm(again_timer_, lingering_time);
}

void DirectJob::terminate_rest() {
    if (state_ != State::terminating) return;
    processes_->terminate(ending_signal());
}

void DirectJob::begin_to_end() {
    if (!ends_at_once()) return terminate(ending_signal());
    watch_processes();
    kill_all();
}

// Its main process ended by itself, and these did not.
void DirectJob::count_left_behind() {
    own_record().result.ended_processes = static_cast<std::uint32_t>(processes_->count());
}

void DirectJob::end_left_behind() {
    count_left_behind();
    terminate(SIGTERM);
}

void DirectJob::kill_all() {
    set_state(State::killing);
    const bool all = processes_->kill();
    // Whatever it was armed for before, nothing but the end of all processes concludes the job now.
    if (processes_->kill_is_certain()) {
        timer_.disarm();
    } else {
        arm(timer_, kill_patience);
    }
    if (!all || cgroup_watch_ < 0) arm(poll_timer_, std::chrono::microseconds(0));
}

void DirectJob::time_is_up() {
    switch (state_) {
        case State::starting:
        case State::released:
            give_up({"the program could not be started in time",
                     "the launcher was not ready in time: was its user's every process stopped?"});
            break;
        case State::running:
            cause_ = Outcome::timeout;
            terminate(SIGTERM);
            break;
        case State::lingering:
            end_left_behind();
            break;
        case State::terminating:
            kill_all();
            break;
        case State::killing:
            // What is left runs as another user, and the guard may not end it.
            if (main_gone_) conclude();
            break;
        case State::ended:
            break;
    }
}

void DirectJob::poll() {
    if (state_ == State::ended) return;  // and the rest of its output is awaited
    const bool all_killed = state_ != State::killing || processes_->kill();
    if (!all_killed || cgroup_watch_ < 0) arm(poll_timer_, poll_interval);
    look_at_processes();
}

// As far as its program has come; what is only being started comes to nothing.
void DirectJob::carry_out(const Cancellation& how) {
    switch (state_) {
        case State::starting:
            give_up({"the job was cancelled before it began", "cancelled before it began"});
            break;
        case State::lingering:
            count_left_behind();
            begin_to_end();
            break;
        case State::running:
            begin_to_end();
            break;
        case State::terminating:
            if (how.now) return kill_all();
            processes_->terminate(how.signal);
            break;
        case State::released:
        case State::killing:
        case State::ended:
            break;
    }
}

void DirectJob::end(Outcome outcome) {
    if (cause_ || is_cancelled()) return;
    switch (state_) {
        case State::starting:
            cause_ = outcome;
            give_up({"the job was ended before it began", "ended before it began"});
            break;
        case State::released:
            cause_ = outcome;
            break;
        case State::running:
            cause_ = outcome;
            terminate(SIGTERM);
            break;
        case State::lingering:
        case State::terminating:
        case State::killing:
        case State::ended:
            break;
    }
}

void DirectJob::conclude() {
    reap();
    JobResult& result = own_record().result;
    result.outcome = cause_.value_or(result.by_signal ? Outcome::signaled : Outcome::exited);
    if (cause_ && !result.by_signal) result.status = 0;
    finish();
}

void DirectJob::file_changed(int watch) {
    if (watch == cgroup_watch_) look_at_processes();
}

}  // namespace postern::jobs
