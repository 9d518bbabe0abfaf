#include "daemon/jobs/job.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "daemon/loop/clock.h"

namespace postern::jobs {
namespace {

// Finer than sd-event's own 250 ms: callers wait for the end of their jobs.
constexpr std::chrono::milliseconds timer_accuracy{1};

}  // namespace

Job::Job(JobHost& host, JobParts parts)
    : host_(host),
      record_(std::move(parts.record)),
      files_(std::move(parts.files)),
      ends_(std::move(parts.ends)),
      place_(std::move(parts.place)),
      return_timer_(make_timer([this] { end(Outcome::disconnected); })) {
    if (parts.follower) followers_.add(std::move(parts.follower), std::move(files_.readers));
}

Job::~Job() {
    for (const int watch : output_watch_) {
        if (watch >= 0) host_.unwatch(watch);
    }
}

Timer Job::make_timer(std::function<void()> what) {
    return {host_.event(), std::move(what), timer_accuracy};
}

void Job::moved(std::string_view from, std::string_view to) {
    host_.observer().moved(id(), from, to);
}

void Job::program_runs() {
    runs_ = true;
    place_.reset();
    if (!watch_output(0) || !watch_output(1)) host_.look_soon(*this);
    tell_started();
}

void Job::fail_later(StartFailure failure) {
    host_.later(*this, [failure = std::move(failure)](Job& job) { job.fail_start(failure); });
}

void Job::fail_start(const StartFailure& failure) {
    clean_up();
    for (const OutputFile& output : files_.output) output.close_to_writing();
    record_.state = RecordState::failed;
    record_.message = failure.detail;
    record_.told = failure.message;
    record_.again = failure.again;
    record_.result.ended = wall_clock();
    if (const Status written = host_.records().write_last(record_); !written) {
        host_.notice(written.error().message);
    }
    host_.over(*this, failure);
}

void Job::finish() {
    runs_ = false;
    clean_up();
    for (OutputFile& output : files_.output) {
        static_cast<void>(output.trim(host_.settings().stored_output_bytes));
        output.close_to_writing();
    }
    record_.result.ended = wall_clock();
    record_.state =
        record_.result.outcome == Outcome::lost ? RecordState::lost : RecordState::ended;
    if (const Status written = host_.records().write_last(record_); !written) {
        host_.notice("the end of job " + id().text() + ": " + written.error().message);
    }
    host_.over(*this, std::nullopt);
}

// ---- Output ----

bool Job::watch_output(std::size_t stream) {
    if (output_watch_[stream] < 0) {
        const std::string path = "/proc/self/fd/" + std::to_string(files_.output[stream].fd());
        output_watch_[stream] = host_.watch(*this, path, FileWatcher::Times::once);
    }
    return output_watch_[stream] >= 0;
}

bool Job::has_more(const Offsets& offsets) const {
    for (std::size_t stream = 0; stream < offsets.size(); ++stream) {
        const std::uint64_t size = files_.output[stream].size();
        // Shorter than what was read: the job has cut it back, which the reader is to hear of.
        const bool cut_back = size < offsets[stream] && offsets[stream] != not_awaited;
        if (size > offsets[stream] || cut_back) return true;
    }
    return false;
}

void Job::await_output(FollowerId follower, const Offsets& offsets) {
    if (!runs_) return;
    followers_.await(follower, offsets);
    const bool watched = watch_output(0) && watch_output(1);
    if (!watched) host_.look_soon(*this);
    // After the watch is there, so that nothing falls between.
    if (has_more(offsets)) host_.later(*this, &Job::tell_output);
}

void Job::file_changed(int watch) {
    for (int& known : output_watch_) {
        if (known == watch) known = -1;  // one-shot
    }
    host_.look_soon(*this);
    // Even where it is no longer than before: it may have been cut back and written anew.
    if (runs_) followers_.output(id(), [](const Offsets& /*offsets*/) { return true; });
}

bool Job::look_at_output() {
    const bool watched = static_cast<int>(watch_output(0)) + static_cast<int>(watch_output(1)) == 2;
    for (OutputFile& output : files_.output) {
        const int error = trims_ ? output.trim(host_.settings().stored_output_bytes) : 0;
        if (error == 0) continue;
        trims_ = false;
        host_.notice("output of job " + id().text() + " can't be bounded: " + std::strerror(error));
    }
    const auto more = [this](const Offsets& offsets) { return has_more(offsets); };
    if (followers_.any_awaits(more)) host_.later(*this, &Job::tell_output);
    return !watched;
}

void Job::tell_output() {
    followers_.output(id(), [this](const Offsets& offsets) { return has_more(offsets); });
}

// ---- Who follows ----

Result<FollowerId> Job::follow(std::unique_ptr<Follower> follower) {
    std::array<UniqueFd, 2> files;
    for (std::size_t stream = 0; stream < files.size(); ++stream) {
        files[stream] = files_.output[stream].open_reader();
        if (!files[stream]) return fail(std::string("output: ") + std::strerror(errno));
    }
    return_timer_.disarm();
    if (runs_) host_.later(*this, &Job::tell_started);
    return followers_.add(std::move(follower), std::move(files));
}

void Job::tell_started() {
    followers_.started(id());
}

void Job::leave(FollowerId follower, Leaving leaving) {
    followers_.remove(follower);
    if (!record_.kill_on_disconnect || !followers_.none()) return;
    if (leaving == Leaving::interrupted) {
        expect_return();
    } else {
        end(Outcome::disconnected);
    }
}

void Job::expect_return() {
    arm(return_timer_, host_.settings().return_patience);
}

}  // namespace postern::jobs
