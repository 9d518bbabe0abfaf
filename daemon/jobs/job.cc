#include "daemon/jobs/job.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "daemon/jobs/proc.h"

namespace postern::jobs {
namespace {

// Where no file tells when the last process is gone.
constexpr std::uint64_t poll_usec = 50'000;
// After KILL, where it is not certain that all go.
constexpr std::uint64_t kill_patience_usec = 2'000'000;

// Finer than sd-event's own 250 ms: callers wait for the end of their jobs.
constexpr std::uint64_t timer_accuracy_usec = 1'000;

std::uint64_t usec_of(const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(time.tv_usec);
}

}  // namespace

Job::Job(JobHost& host, Record record, JobFiles files, std::uint64_t timeout_usec,
         std::unique_ptr<Observer> observer)
    : host_(host),
      record_(std::move(record)),
      files_(std::move(files)),
      timeout_usec_(timeout_usec),
      observer_(std::move(observer)) {}

Job::~Job() {
    if (cgroup_watch_ >= 0) host_.unwatch(cgroup_watch_);
    for (const int watch : output_watch_) {
        if (watch >= 0) host_.unwatch(watch);
    }
    if (state_ == State::ended || launched_.pid <= 0) return;
    signal_process(launched_.process, SIGKILL);
    files_.processes->kill();
    // Not waited for: it may take its time. The guard ends, and init reaps.
}

void Job::set_state(State state) {
    // Only forward.
    assert(state > state_);
    state_ = state;
}

bool Job::begin(Launched launched) {
    launched_ = std::move(launched);
    files_.processes->set_main(launched_.pid);
    sd_event_source* control = nullptr;
    sd_event_source* exit = nullptr;
    const int control_added = sd_event_add_io(host_.event(), &control, launched_.control.get(),
                                              EPOLLIN, on_control, this);
    control_source_.reset(control);
    const int exit_added =
        sd_event_add_io(host_.event(), &exit, launched_.process.get(), EPOLLIN, on_exit, this);
    exit_source_.reset(exit);
    if (control_added < 0 || exit_added < 0) {
        // It has not run anything and dies at once: no harm in waiting for it.
        signal_process(launched_.process, SIGKILL);
        reap();
        return false;
    }
    arm(timer_, static_cast<std::uint64_t>(host_.settings().start_patience.count()), on_timer);
    return true;
}

void Job::arm(EventSource& timer, std::uint64_t usec, sd_event_time_handler_t handler) {
    // Fails only where there is no memory or the kernel has no timer (one serves the whole loop);
    // the job then goes on without.
    if (arm_timer(host_.event(), timer, usec, handler, this) < 0) return;
    sd_event_source_set_time_accuracy(timer.get(), timer_accuracy_usec);
}

int Job::on_control(sd_event_source* /*source*/, int /*fd*/, std::uint32_t /*events*/, void* self) {
    static_cast<Job*>(self)->read_control();
    return 0;
}

int Job::on_exit(sd_event_source* /*source*/, int /*fd*/, std::uint32_t /*events*/, void* self) {
    static_cast<Job*>(self)->main_gone();
    return 0;
}

void Job::read_control() {
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
            if (got == 0 && state_ == State::released && !giving_up_) program_runs();
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

void Job::release() {
    record_.state = RecordState::running;
    record_.pid = launched_.pid;
    record_.pid_start = stat_of(launched_.pid).value_or(ProcessStat{}).start;
    record_.result.started_usec = now_usec();
    if (const Status written = host_.records().write(record_); !written) {
        record_.state = RecordState::starting;
        give_up({"the job's record can't be written", written.error().message});
        return;
    }
    set_state(State::released);
    // To a launcher that is dead already it fails; then its exit is what counts.
    static_cast<void>(
        send(launched_.control.get(), &launcher::go, sizeof(launcher::go), MSG_NOSIGNAL));
}

void Job::program_runs() {
    set_state(State::running);
    if (timeout_usec_ != 0) {
        arm(timer_, timeout_usec_, on_timer);
    } else {
        timer_.reset();
    }
    if (!watch_output(0) || !watch_output(1)) host_.look_soon(*this);
    observer_->started(id(), std::move(files_.readers[0]), std::move(files_.readers[1]));
    // Asked to end between the word and the exec.
    if (cause_ && state_ == State::running) terminate();
}

void Job::give_up(StartFailure failure) {
    if (!giving_up_) giving_up_ = std::move(failure);
    // Its user may have stopped it, so that it would not end by itself.
    signal_process(launched_.process, SIGKILL);
}

void Job::main_gone() {
    // What it said before comes first: both may be there in one round of the loop.
    read_control();
    exit_source_.reset();
    main_gone_ = true;
    if (state_ == State::starting || state_ == State::released) {
        reap();
        const std::string how = record_.result.by_signal
                                    ? "signal " + std::to_string(record_.result.status)
                                    : "exit code " + std::to_string(record_.result.status);
        fail_start(giving_up_.value_or(
            StartFailure{"the program could not be started: its launcher was ended",
                         "the launcher ended unexpectedly, " + how}));
        return;
    }
    if (files_.processes->can_reap_main()) reap();
    look_at_processes();
}

void Job::reap() {
    if (reaped_) return;
    reaped_ = true;
    int status = 0;
    rusage usage{};
    pid_t got = -1;
    while ((got = wait4(launched_.pid, &status, 0, &usage)) < 0 && errno == EINTR) {
    }
    files_.processes->set_main(-1);
    if (got != launched_.pid) return;
    JobResult& result = record_.result;
    result.by_signal = WIFSIGNALED(status);
    result.status = result.by_signal ? WTERMSIG(status) : WEXITSTATUS(status);
    result.cpu_usec = usec_of(usage.ru_utime) + usec_of(usage.ru_stime);
    result.max_resident_kib = static_cast<std::uint64_t>(usage.ru_maxrss);
}

void Job::look_at_processes() {
    if (!main_gone_) return;
    if (files_.processes->empty()) {
        finish();
    } else if (state_ == State::running) {
        terminate();
    }
}

void Job::terminate() {
    set_state(State::terminating);
    arm(timer_, static_cast<std::uint64_t>(host_.settings().kill_grace.count()), on_timer);
    const std::string file = files_.processes->watched_file();
    if (!file.empty()) cgroup_watch_ = host_.watch(*this, file, FileWatcher::Times::always);
    files_.processes->terminate();
    // At once, if there is no watch; with one, since the last may have gone before it was there.
    arm(poll_timer_, 0, on_poll);
}

void Job::kill_all() {
    set_state(State::killing);
    const bool all = files_.processes->kill();
    if (!files_.processes->kill_is_certain()) arm(timer_, kill_patience_usec, on_timer);
    if (!all || cgroup_watch_ < 0) arm(poll_timer_, 0, on_poll);
}

int Job::on_timer(sd_event_source* /*source*/, std::uint64_t /*usec*/, void* self) {
    Job& job = *static_cast<Job*>(self);
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
            if (job.main_gone_) job.finish();
            break;
        case State::ended:
            break;
    }
    return 0;
}

int Job::on_poll(sd_event_source* /*source*/, std::uint64_t /*usec*/, void* self) {
    Job& job = *static_cast<Job*>(self);
    const bool all_killed = job.state_ != State::killing || job.files_.processes->kill();
    if (!all_killed || job.cgroup_watch_ < 0) job.arm(job.poll_timer_, poll_usec, on_poll);
    job.look_at_processes();
    return 0;
}

void Job::end(Outcome outcome) {
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

void Job::fail_start(StartFailure failure) {
    set_state(State::ended);
    for (const OutputFile& output : files_.output) output.close_to_writing();
    files_.processes->remove();
    record_.state = RecordState::failed;
    record_.message = failure.detail;
    record_.result.ended_usec = now_usec();
    if (const Status written = host_.records().write_last(record_);
        !written && host_.settings().notice) {
        host_.settings().notice(written.error().message);
    }
    host_.over(*this, std::move(failure), std::nullopt);
}

void Job::finish() {
    set_state(State::ended);
    reap();
    for (OutputFile& output : files_.output) {
        static_cast<void>(output.trim(host_.settings().stored_output_bytes));
        output.close_to_writing();
    }
    files_.processes->remove();
    JobResult& result = record_.result;
    result.outcome = cause_.value_or(result.by_signal ? Outcome::signaled : Outcome::exited);
    if (cause_ && !result.by_signal) result.status = 0;
    result.ended_usec = now_usec();
    record_.state = RecordState::ended;
    if (const Status written = host_.records().write_last(record_);
        !written && host_.settings().notice) {
        host_.settings().notice("the end of job " + id() + ": " + written.error().message);
    }
    host_.over(*this, std::nullopt, result);
}

// ---- Output ----

bool Job::watch_output(std::size_t stream) {
    if (output_watch_[stream] < 0) {
        const std::string path = "/proc/self/fd/" + std::to_string(files_.output[stream].fd());
        output_watch_[stream] = host_.watch(*this, path, FileWatcher::Times::once);
    }
    return output_watch_[stream] >= 0;
}

bool Job::has_more() const {
    if (!awaited_) return false;
    for (std::size_t stream = 0; stream < offsets_.size(); ++stream) {
        const std::uint64_t size = files_.output[stream].size();
        // Shorter than what was read: the job has cut it back, which the reader is to hear of.
        const bool cut_back = size < offsets_[stream] && offsets_[stream] != not_awaited;
        if (size > offsets_[stream] || cut_back) return true;
    }
    return false;
}

void Job::await_output(std::uint64_t stdout_offset, std::uint64_t stderr_offset) {
    if (state_ < State::running || state_ == State::ended) return;
    awaited_ = true;
    offsets_ = {stdout_offset, stderr_offset};
    const bool watched = watch_output(0) && watch_output(1);
    if (!watched) host_.look_soon(*this);
    // After the watch is there, so that nothing falls between.
    if (has_more()) host_.tell_later(*this);
}

void Job::file_changed(int watch) {
    if (watch == cgroup_watch_) {
        look_at_processes();
        return;
    }
    for (int& known : output_watch_) {
        if (known == watch) known = -1;  // one-shot
    }
    host_.look_soon(*this);
    if (state_ >= State::running) tell_output();
}

bool Job::look_at_output() {
    const bool watched = static_cast<int>(watch_output(0)) + static_cast<int>(watch_output(1)) == 2;
    for (OutputFile& output : files_.output) {
        const int error = trims_ ? output.trim(host_.settings().stored_output_bytes) : 0;
        if (error == 0) continue;
        trims_ = false;
        if (host_.settings().notice) {
            host_.settings().notice("output of job " + id() +
                                    " can't be bounded: " + std::strerror(error));
        }
    }
    if (has_more()) host_.tell_later(*this);
    return !watched;
}

void Job::tell_output() {
    if (!awaited_) return;
    awaited_ = false;
    observer_->output(id());
}

}  // namespace postern::jobs
