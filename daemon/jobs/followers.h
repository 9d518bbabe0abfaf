// Those who follow one job: what each was told, what it waits for, and how far it has the output.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/jobs/follower.h"
#include "daemon/jobs/start_failure.h"
#include "model/job.h"

namespace postern::jobs {

// How far each stream is read; not_awaited: as far as its reader wants it.
using Offsets = std::array<std::uint64_t, 2>;
// Whether there is more to read than that.
using HasMore = std::function<bool(const Offsets&)>;

// What all who follow need of the output together.
struct Needs {
    Offsets floor{not_awaited,
                  not_awaited};  // the least that one has; not_awaited: nobody needs any
    Offsets awaited{not_awaited, not_awaited};  // the least that one waits to be exceeded
    std::uint32_t followers = 0;                // those that hold the job back
    friend bool operator==(const Needs&, const Needs&) = default;
};

// What a follower is told of may make it leave, others too, or make others come: each function
// tells those who are there when it is called, and of those who then still are.
class Followers {
  public:
    using Clock = std::chrono::steady_clock;

    // `files`: its descriptors, handed over when it is told that the job runs. It takes the place
    // of one that was interrupted.
    FollowerId add(std::unique_ptr<Follower> follower, std::array<UniqueFd, 2> files,
                   Clock::time_point now);
    // `interrupted`: its client may come back, and until then it counts as one that stands still.
    void remove(FollowerId follower, bool interrupted, Clock::time_point now);
    // So many, of which none had less of a stream than this, were interrupted with the guard before
    // this one.
    void add_interrupted(std::size_t stream, std::uint64_t offset, std::uint32_t count,
                         Clock::time_point since);
    [[nodiscard]] bool none() const { return all_.empty(); }

    // It has read so far, and is to be told of more.
    void await(FollowerId follower, const Offsets& offsets);
    // Its client has so much. False: it had more before.
    bool taken(FollowerId follower, const Offsets& offsets, Clock::time_point now);
    // The streams are so long: from now on, or since it was said before, who has less stands still.
    void note_sizes(const Offsets& sizes, Clock::time_point now);
    // Those that have stood still for longer than `stall` though there was more than they have
    // (`sizes`) hold the job back no more, until they go on; those that were interrupted are no
    // longer expected.
    void find_stalled(const Offsets& sizes, std::chrono::microseconds stall, Clock::time_point now);
    [[nodiscard]] Needs needs() const;
    // Whether somebody may hold the job back, and find_stalled() is to be called again: not while
    // all have what there is, and wait to be told of more.
    [[nodiscard]] bool may_hold_back() const;

    // Somebody waits, and there is more for him.
    [[nodiscard]] bool any_awaits(const HasMore& has_more) const;

    // Who was not told yet is told that the job runs.
    void started(const JobId& job);
    // Who waits, and for whom there is more, is told so, and waits no more.
    void output(const JobId& job, const HasMore& has_more);
    void start_failed(const JobId& job, const StartFailure& failure);
    // Whoever was not told that it ran is told that first.
    void ended(const JobId& job, const JobResult& result);

  private:
    struct Entry {
        std::unique_ptr<Follower> follower;
        std::array<UniqueFd, 2> files;
        bool told = false;
        bool awaits = false;
        bool behind = false;
        bool stalled = false;
        Offsets offsets{};
        Offsets had{};
        Clock::time_point moved;  // or fell behind
    };
    struct Interrupted {
        Offsets had{not_awaited, not_awaited};
        std::uint32_t count = 1;
        Clock::time_point since;
        bool with_guard = false;  // with a guard before this one
    };
    template <typename Tell>
    void for_each(Tell tell);

    std::map<FollowerId, Entry> all_;
    std::vector<Interrupted> interrupted_;
    FollowerId next_ = first_follower;
};

}  // namespace postern::jobs
