#include "daemon/jobs/job.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "base/utf8.h"
#include "daemon/loop/clock.h"

namespace postern::jobs {
namespace {

// What kept it from being started is of no interest once it was not to be.
StartFailure cancelled_before_it_began(const Canceller& by) {
    const std::string uid = "uid " + std::to_string(by.uid);
    return {"the job was cancelled before it began",
            "cancelled before it began, by " +
                (by.user.empty() ? uid : in_quotes(by.user) + " (" + uid + ")")};
}

// Finer than sd-event's own 250 ms: callers wait for the end of their jobs.
constexpr std::chrono::milliseconds timer_accuracy{1};
// One that stands still is seen at most an eighth of that time late.
constexpr int looks_in_a_stall = 8;
// Where a job writes to its files itself (it was started by a version before this): how often they
// are looked at.
constexpr std::chrono::milliseconds look_interval{200};

constexpr std::uint32_t bit_of(int signal) {
    return std::uint32_t{1} << static_cast<unsigned>(signal);
}

}  // namespace

Job::Job(JobHost& host, JobParts parts)
    : host_(host),
      record_(std::move(parts.record)),
      output_(record_, std::move(parts.streams), host.settings().stored_output_bytes),
      stdin_end_(std::move(parts.stdin_end)),
      place_(std::move(parts.place)),
      return_timer_(make_timer([this] { end(Outcome::disconnected); })),
      look_timer_(make_timer([this] { look_at_followers(); })),
      rest_timer_(make_timer([this] { look_at_rest(); })) {
    if (record_.cancelling) asked_signals_ = bit_of(record_.cancelling->signal);
    if (!parts.follower) return;
    followers_.add(std::move(parts.follower), std::move(parts.readers), Followers::Clock::now());
    output_.set_needs(followers_.needs());
}

Job::~Job() = default;

std::vector<UniqueFd> Job::take_ends() {
    std::vector<UniqueFd> ends = output_.take_ends();
    if (stdin_end_) ends.push_back(std::move(stdin_end_));
    return ends;
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
    tell_started();
    sync();
}

void Job::fail_later(StartFailure failure) {
    host_.later(*this, [failure = std::move(failure)](Job& job) { job.fail_start(failure); });
}

void Job::fail_start(const StartFailure& why) {
    const StartFailure failure =
        record_.cancelling ? cancelled_before_it_began(record_.cancelling->by) : why;
    clean_up();
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
    if (finishes_) return;
    finishes_ = true;
    clean_up();
    // It may be known of one that ended when no guard was there.
    if (record_.result.ended == Time{}) record_.result.ended = wall_clock();
    // What its processes wrote last may still be in its pipes. A process that is not of the job and
    // was given such a descriptor may go on writing: what is there now is all that counts.
    if (output_.is_drained()) return complete();
    output_.finish();
    host_.sync_soon(*this);
    await_rest();
}

// Whoever was given its descriptor may stand still in the middle of a write, with the pipe's lock:
// then nobody gets what is in there, and the job's caller need not wait for that for ever.
void Job::await_rest() {
    rest_ = output_.sizes();
    arm(rest_timer_, host_.settings().follower_stall);
}

void Job::look_at_rest() {
    const bool has_moved = output_.sizes() != rest_;
    if (has_moved) in_trouble_ = false;
    if (has_moved || in_trouble_ || !host_.keeper().connected()) return await_rest();
    note_lost(output_.undrained());
    complete();
}

void Job::note_lost(const Offsets& from) {
    for (std::size_t i = 0; i < from.size(); ++i) {
        if (from[i] >= lost_[i]) continue;
        lost_[i] = from[i];
        host_.notice("job " + id().text() + " of " + record_.action + ": its " + stream_names[i] +
                     " is lost from byte " + std::to_string(from[i]) + " on");
    }
}

void Job::complete() {
    runs_ = false;
    for (std::size_t i = 0; i < lost_.size(); ++i) {
        if (lost_[i] != not_awaited) record_.result.lost_from[i] = lost_[i];
    }
    record_.state =
        record_.result.outcome == Outcome::lost ? RecordState::lost : RecordState::ended;
    if (const Status written = host_.records().write_last(record_); !written) {
        host_.notice("the end of job " + id().text() + ": " + written.error().message);
    }
    host_.over(*this, std::nullopt);
}

// ---- Cancelled ----

void Job::write_record(const char* what) {
    if (const Status written = host_.records().write(record_); !written) {
        host_.notice(std::string(what) + " of job " + id().text() + ": " + written.error().message);
    }
}

// The record comes first: a guard that dies between both leaves no job that ends for no reason.
// Each signal is sent once: whoever asks again and again gets nothing written or sent for it.
std::optional<Cancelled> Job::cancel(const Cancellation& how) {
    if (finishes_) return std::nullopt;
    const bool is_new = how.now || (asked_signals_ & bit_of(how.signal)) == 0;
    const bool is_killed = record_.cancelling && record_.cancelling->now;
    if (is_killed || !is_new) return Cancelled::already;
    asked_signals_ |= bit_of(how.signal);
    if (record_.cancelling) {
        record_.cancelling->signal = how.signal;
        record_.cancelling->now = record_.cancelling->now || how.now;
    } else {
        record_.cancelling = how;
        record_.result.cancelled_by = how.by;
    }
    write_record("that it is cancelled");
    carry_out(how);
    return Cancelled::now;
}

// ---- Output ----

void Job::await_output(FollowerId follower, const Offsets& offsets) {
    if (!runs_) return;
    followers_.await(follower, offsets);
    if (output_.has_more(offsets)) host_.later(*this, &Job::tell_output);
    sync();
}

bool Job::taken(FollowerId follower, const Offsets& offsets) {
    const Offsets sizes = output_.sizes();
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (offsets[i] != not_awaited && offsets[i] > sizes[i]) return false;
    }
    if (!followers_.taken(follower, offsets, Followers::Clock::now())) return false;
    sync();
    return true;
}

void Job::sync() {
    output_.set_needs(followers_.needs());
    host_.sync_soon(*this);
    if (looks_ || (!followers_.needs_looks() && !output_.has_no_keeper())) return;
    looks_ = true;
    arm(look_timer_, output_.has_no_keeper() ? look_interval
                                             : host_.settings().follower_stall / looks_in_a_stall);
}

void Job::look_at_followers() {
    looks_ = false;
    followers_.find_stalled(output_.sizes(), host_.settings().follower_stall,
                            Followers::Clock::now());
    if (output_.has_no_keeper()) {
        output_.trim();
        return tell_output();
    }
    sync();
}

void Job::tell_output() {
    followers_.output(
        id(), [this](const Offsets& offsets) { return output_.has_more(offsets); },
        Followers::Clock::now());
    sync();
}

// ---- What postern-output says ----

void Job::output_has_grown(std::size_t stream) {
    output_.told(stream);
    tell_output();
}

void Job::output_is_kept(const output::Message& kept, std::vector<UniqueFd>& descriptors) {
    output_.kept(kept.stream, descriptors);
    if (followers_.none() && kept.followers > 0) {
        const auto left =
            std::min(std::chrono::microseconds(kept.stall), host_.settings().follower_stall);
        followers_.add_interrupted(
            kept.stream, kept.floor == output::none ? not_awaited : kept.floor, kept.followers,
            Followers::Clock::now() - (host_.settings().follower_stall - left));
    }
}

void Job::keeper_is_here() {
    // Of one that may never have begun nothing is lost.
    const Offsets lost = output_.all_kept();
    if (record_.state != RecordState::starting) note_lost(lost);
    if (finishes_ && output_.is_drained()) return complete();
    sync();
}

void Job::output_is_finished(const output::Message& finished) {
    note_lost(output_.finished(finished.sizes));
    if (finishes_) complete();
}

// ---- Who follows ----

Result<FollowerId> Job::follow(std::unique_ptr<Follower> follower) {
    std::array<UniqueFd, stream_count> files;
    for (std::size_t i = 0; i < stream_count; ++i) {
        POSTERN_TRY(files[i], output_.stream(i).open_reader());
    }
    if (follower->is_owners()) return_timer_.disarm();
    if (runs_) host_.later(*this, &Job::tell_started);
    const FollowerId added =
        followers_.add(std::move(follower), std::move(files), Followers::Clock::now());
    sync();
    return added;
}

void Job::tell_started() {
    followers_.started(id());
}

void Job::leave(FollowerId follower, Leaving leaving) {
    const bool was_owners = followers_.is_owners(follower);
    followers_.remove(follower, leaving == Leaving::interrupted, Followers::Clock::now());
    sync();
    if (!record_.kill_on_disconnect || !was_owners || followers_.any_of_owner()) return;
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
