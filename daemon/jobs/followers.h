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

// What all followers together need of the output.
struct Needs {
    Offsets floor{not_awaited,
                  not_awaited};  // the least that one has; not_awaited: nobody needs any
    Offsets awaited{not_awaited, not_awaited};  // the least that one waits to be exceeded
    std::uint32_t followers = 0;                // those that hold the job back
};

// What a follower is told of may make it leave, others too, or make others come: each function
// tells those who are there when it is called, and of those who then still are.
class Followers {
  public:
    using Clock = std::chrono::steady_clock;

    // `files`: its descriptors, handed over when it is told that the job runs. If it begins to read
    // where an interrupted one had come to, or later, it takes the place of that one.
    FollowerId add(std::unique_ptr<Follower> follower, std::array<UniqueFd, 2> files,
                   Clock::time_point now);
    // `interrupted`: its client may come back, and until then it counts as one that stands still.
    void remove(FollowerId follower, bool interrupted, Clock::time_point now);
    // With the guard before this one, `count` followers were interrupted, none of which had less of
    // the stream than `offset`.
    void add_interrupted(std::size_t stream, std::uint64_t offset, std::uint32_t count,
                         Clock::time_point since);
    [[nodiscard]] bool none() const { return all_.empty(); }
    // Whether this one, or any, is of the job's owner.
    [[nodiscard]] bool is_owners(FollowerId follower) const;
    [[nodiscard]] bool any_of_owner() const;

    // It has read so far, and is to be told of more.
    void await(FollowerId follower, const Offsets& offsets);
    // Its client has so much. False: it had more before.
    bool taken(FollowerId follower, const Offsets& offsets, Clock::time_point now);
    // Those that have taken nothing for longer than `stall`, though there was more than they have
    // (`sizes`), no longer hold the job back until they continue; those that were interrupted are
    // no longer expected.
    void find_stalled(const Offsets& sizes, std::chrono::microseconds stall, Clock::time_point now);
    [[nodiscard]] Needs needs() const;
    // Whether somebody may yet stall or come back, so that find_stalled() is to be called again. A
    // follower that has everything and waits for more can't stall: it is told of more first.
    [[nodiscard]] bool needs_looks() const;

    // Tells those that were not told yet that the job runs.
    void started(const JobId& job);
    // Tells those that wait, and for whom there is more; they no longer wait then.
    void output(const JobId& job, const HasMore& has_more, Clock::time_point now);
    void start_failed(const JobId& job, const StartFailure& failure);
    // Whoever was not told that it ran is told that first.
    void ended(const JobId& job, const JobResult& result);

  private:
    struct Entry {
        std::unique_ptr<Follower> follower;
        std::array<UniqueFd, 2> files;
        bool told = false;
        bool has_begun = false;  // to read
        bool awaits = false;
        bool stalled = false;
        Offsets offsets{};
        Offsets had{};
        Clock::time_point moved;  // or had nothing to take

        // Its client can't have the start of a character that is not whole: 3 bytes in UTF-8.
        [[nodiscard]] bool waits_with_all() const {
            constexpr std::uint64_t part = 3;
            return awaits && offsets[0] - had[0] <= part && offsets[1] - had[1] <= part;
        }
    };
    struct Interrupted {
        Offsets had{not_awaited, not_awaited};
        std::uint32_t count = 1;
        Clock::time_point since;
        bool with_guard = false;  // with a guard before this one
    };
    template <typename Tell>
    void for_each(Tell tell);
    void take_place(const Offsets& offsets);

    std::map<FollowerId, Entry> all_;
    std::vector<Interrupted> interrupted_;
    FollowerId next_ = first_follower;
};

}  // namespace postern::jobs
