// Those who follow one job: what each was told, and what it waits for.
#pragma once

#include <array>
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

// How far each stream is read.
using Offsets = std::array<std::uint64_t, 2>;
// Whether there is more to read than that.
using HasMore = std::function<bool(const Offsets&)>;

// What a follower is told of may make it leave, others too, or make others come: each function
// tells those who are there when it is called, and of those who then still are.
class Followers {
  public:
    // `files`: its descriptors, handed over when it is told that the job runs.
    FollowerId add(std::unique_ptr<Follower> follower, std::array<UniqueFd, 2> files);
    void remove(FollowerId follower) { all_.erase(follower); }
    [[nodiscard]] bool none() const { return all_.empty(); }

    // It has read so far.
    void await(FollowerId follower, const Offsets& offsets);
    // Its client has so much. False: it had more before.
    bool taken(FollowerId follower, const Offsets& offsets);
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
        Offsets offsets{};
        Offsets had{};
    };
    template <typename Tell>
    void for_each(Tell tell);

    std::map<FollowerId, Entry> all_;
    FollowerId next_ = first_follower;
};

}  // namespace postern::jobs
