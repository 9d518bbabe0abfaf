#include "daemon/jobs/job.h"

#include <cstring>
#include <utility>

#include "daemon/jobs/proc.h"

namespace postern::jobs {
namespace {

// Finer than sd-event's own 250 ms: callers wait for the end of their jobs.
constexpr std::uint64_t timer_accuracy_usec = 1'000;

}  // namespace

Job::Job(JobHost& host, Record record, JobFiles files, std::unique_ptr<Observer> observer)
    : host_(host),
      record_(std::move(record)),
      files_(std::move(files)),
      observer_(std::move(observer)) {}

Job::~Job() {
    for (const int watch : output_watch_) {
        if (watch >= 0) host_.unwatch(watch);
    }
}

void Job::arm(sd_event* event, EventSource& timer, std::uint64_t usec,
              sd_event_time_handler_t handler, void* userdata) {
    // Fails only where there is no memory or the kernel has no timer (one serves the whole loop);
    // the job then goes on without.
    if (arm_timer(event, timer, usec, handler, userdata) < 0) return;
    sd_event_source_set_time_accuracy(timer.get(), timer_accuracy_usec);
}

void Job::program_runs() {
    runs_ = true;
    if (!watch_output(0) || !watch_output(1)) host_.look_soon(*this);
    observer_->started(id(), std::move(files_.readers[0]), std::move(files_.readers[1]));
}

void Job::fail_start(StartFailure failure) {
    clean_up();
    for (const OutputFile& output : files_.output) output.close_to_writing();
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
    runs_ = false;
    clean_up();
    for (OutputFile& output : files_.output) {
        static_cast<void>(output.trim(host_.settings().stored_output_bytes));
        output.close_to_writing();
    }
    JobResult& result = record_.result;
    result.ended_usec = now_usec();
    record_.state = result.outcome == Outcome::lost ? RecordState::lost : RecordState::ended;
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
    if (!runs_) return;
    awaited_ = true;
    offsets_ = {stdout_offset, stderr_offset};
    const bool watched = watch_output(0) && watch_output(1);
    if (!watched) host_.look_soon(*this);
    // After the watch is there, so that nothing falls between.
    if (has_more()) host_.tell_later(*this);
}

void Job::file_changed(int watch) {
    for (int& known : output_watch_) {
        if (known == watch) known = -1;  // one-shot
    }
    host_.look_soon(*this);
    if (runs_) tell_output();
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
