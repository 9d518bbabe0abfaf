#include "daemon/jobs/direct/direct_job.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "daemon/jobs/direct/proc.h"
#include "daemon/loop/clock.h"

namespace postern::jobs {
namespace {

// Where no file tells when the last process is gone.
constexpr std::uint64_t poll_usec = 50'000;
// After KILL, where it is not certain that all go.
constexpr std::uint64_t kill_patience_usec = 2'000'000;

std::uint64_t usec_of(const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(time.tv_usec);
}

}  // namespace

DirectJob::DirectJob(JobHost& host, Record record, JobFiles files,
                     std::unique_ptr<Processes> processes, std::uint64_t timeout_usec,
                     Audience audience)
    : Job(host, std::move(record), std::move(files), std::move(audience)),
      processes_(std::move(processes)),
      timeout_usec_(timeout_usec) {}

DirectJob::~DirectJob() {
    if (cgroup_watch_ >= 0) host().unwatch(cgroup_watch_);
    if (state_ == State::ended || launched_.pid <= 0) return;
    signal_process(launched_.process, SIGKILL);
    processes_->kill();
    // Not waited for: it may take its time. The guard ends, and init reaps.
}

void DirectJob::arm(EventSource& timer, std::uint64_t usec, sd_event_time_handler_t handler) {
    Job::arm(host().event(), timer, usec, handler, this);
}

void DirectJob::clean_up() {
    set_state(State::ended);
    processes_->remove();
}

void DirectJob::set_state(State state) {
    // Only forward.
    assert(state > state_);
    state_ = state;
}

bool DirectJob::begin(Launched launched) {
    launched_ = std::move(launched);
    processes_->set_main(launched_.pid);
    sd_event_source* control = nullptr;
    sd_event_source* exit = nullptr;
    const int control_added = sd_event_add_io(host().event(), &control, launched_.control.get(),
                                              EPOLLIN, on_control, this);
    control_source_.reset(control);
    const int exit_added =
        sd_event_add_io(host().event(), &exit, launched_.process.get(), EPOLLIN, on_exit, this);
    exit_source_.reset(exit);
    if (control_added < 0 || exit_added < 0) {
        // It has not run anything and dies at once: no harm in waiting for it.
        signal_process(launched_.process, SIGKILL);
        reap();
        return false;
    }
    arm(timer_, static_cast<std::uint64_t>(host().settings().start_patience.count()), on_timer);
    return true;
}

int DirectJob::on_control(sd_event_source* /*source*/, int /*fd*/, std::uint32_t /*events*/,
                          void* self) {
    static_cast<DirectJob*>(self)->read_control();
    return 0;
}

int DirectJob::on_exit(sd_event_source* /*source*/, int /*fd*/, std::uint32_t /*events*/,
                       void* self) {
    static_cast<DirectJob*>(self)->main_gone();
    return 0;
}

void DirectJob::read_control() {
    while (launched_.control) {
        // One more than a report has: a longer packet shows.
        std::array<std::uint8_t, launcher::ReportBytes{}.size() + 1> bytes{};
        const ssize_t got = recv(launched_.control.get(), bytes.data(), bytes.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            control_source_.reset();
            launched_.control.reset();
            // End of file after the word was taken: the exec closed it. ECONNRESET: the launcher
            // died with the word unread (unix(7)); its exit comes. A launcher that is killed
            // between reading the word and its exec looks like a program that was killed at once.
            if (got == 0 && state_ == State::released && !giving_up_) run();
            return;
        }
        const auto report =
            launcher::decode_report(std::span(bytes.data(), static_cast<std::size_t>(got)));
        if (!report) {
            give_up({"the program could not be started", "launcher: " + report.error().message});
        } else if (report->stage != launcher::Stage::ready) {
            const std::string what = std::string("the program could not be started: ") +
                                     std::strerror(report->error) + " while " +
                                     std::string(launcher::doing(report->stage));
            give_up({what, what});
        } else if (state_ == State::starting && !giving_up_) {
            release();
        }
    }
}

void DirectJob::release() {
    own_record().state = RecordState::running;
    own_record().pid = launched_.pid;
    own_record().pid_start = stat_of(launched_.pid).value_or(ProcessStat{}).start;
    own_record().result.started_usec = wall_clock_usec();
    if (const Status written = host().records().write(own_record()); !written) {
        own_record().state = RecordState::starting;
        give_up({"the job's record can't be written", written.error().message});
        return;
    }
    set_state(State::released);
    // To a launcher that is dead already it fails; then its exit is what counts.
    static_cast<void>(
        send(launched_.control.get(), &launcher::go, sizeof(launcher::go), MSG_NOSIGNAL));
}

void DirectJob::run() {
    set_state(State::running);
    if (timeout_usec_ != 0) {
        arm(timer_, timeout_usec_, on_timer);
    } else {
        timer_.reset();
    }
    program_runs();
    // Asked to end between the word and the exec.
    if (cause_ && state_ == State::running) terminate();
}

void DirectJob::give_up(StartFailure failure) {
    if (!giving_up_) giving_up_ = std::move(failure);
    // Its user may have stopped it, so that it would not end by itself.
    signal_process(launched_.process, SIGKILL);
}

void DirectJob::main_gone() {
    // What it said before comes first: both may be there in one round of the loop.
    read_control();
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
    result.cpu_usec = usec_of(usage.ru_utime) + usec_of(usage.ru_stime);
    result.max_resident_kib = static_cast<std::uint64_t>(usage.ru_maxrss);
}

void DirectJob::look_at_processes() {
    if (!main_gone_) return;
    if (processes_->empty()) {
        conclude();
    } else if (state_ == State::running) {
        terminate();
    }
}

void DirectJob::terminate() {
    set_state(State::terminating);
    arm(timer_, static_cast<std::uint64_t>(host().settings().kill_grace.count()), on_timer);
    const std::string file = processes_->watched_file();
    if (!file.empty()) cgroup_watch_ = host().watch(*this, file, FileWatcher::Times::always);
    processes_->terminate();
    // At once, if there is no watch; with one, since the last may have gone before it was there.
    arm(poll_timer_, 0, on_poll);
}

void DirectJob::kill_all() {
    set_state(State::killing);
    const bool all = processes_->kill();
    if (!processes_->kill_is_certain()) arm(timer_, kill_patience_usec, on_timer);
    if (!all || cgroup_watch_ < 0) arm(poll_timer_, 0, on_poll);
}

int DirectJob::on_timer(sd_event_source* /*source*/, std::uint64_t /*usec*/, void* self) {
    DirectJob& job = *static_cast<DirectJob*>(self);
    switch (job.state_) {
        case State::starting:
        case State::released:
            job.give_up(
                {"the program could not be started in time",
                 "the launcher was not ready in time: was its user's every process stopped?"});
            break;
        case State::running:
            job.cause_ = Outcome::timeout;
            job.terminate();
            break;
        case State::terminating:
            job.kill_all();
            break;
        case State::killing:
            // What is left runs as another user, and the guard may not end it.
            if (job.main_gone_) job.conclude();
            break;
        case State::ended:
            break;
    }
    return 0;
}

int DirectJob::on_poll(sd_event_source* /*source*/, std::uint64_t /*usec*/, void* self) {
    DirectJob& job = *static_cast<DirectJob*>(self);
    const bool all_killed = job.state_ != State::killing || job.processes_->kill();
    if (!all_killed || job.cgroup_watch_ < 0) job.arm(job.poll_timer_, poll_usec, on_poll);
    job.look_at_processes();
    return 0;
}

void DirectJob::end(Outcome outcome) {
    if (cause_) return;
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
            terminate();
            break;
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
    if (watch == cgroup_watch_) {
        look_at_processes();
    } else {
        Job::file_changed(watch);
    }
}

}  // namespace postern::jobs
