// One who follows a job: a call that waits for its output and its end.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"
#include "daemon/jobs/start_failure.h"
#include "model/job.h"

namespace postern::jobs {

// Which of a job's data goes straight to and from the client that started it, and is not stored.
struct Straight {
    bool input = false;
    bool output = false;
    [[nodiscard]] bool any() const { return input || output; }
};

// The client's ends of the pipes for that; invalid where it does not go straight.
struct ClientEnds {
    UniqueFd output;  // to read
    UniqueFd input;   // to write
};

// Told in this order: started or start_failed; output any number of times; ended exactly once after
// started. After start_failed or ended the manager forgets it.
class Follower {
  public:
    virtual ~Follower() = default;
    // Whether it is the job's owner who follows: others don't keep a job that ends with its caller,
    // nor end it when they leave.
    [[nodiscard]] virtual bool is_owners() const { return true; }
    // Of the follower that a job is started for: what is to go straight...
    [[nodiscard]] virtual Straight straight() const { return {}; }
    // ... and, when the job is made, the client's ends of those pipes.
    virtual void take_ends(ClientEnds /*ends*/) {}
    // The program runs. Two fresh read-only descriptors of its output files, the follower's own.
    // What was removed from the front to bound the files is a hole in them (lseek(2), SEEK_DATA).
    virtual void started(const JobId& job, UniqueFd stdout_file, UniqueFd stderr_file) = 0;
    virtual void start_failed(const JobId& job, const StartFailure& failure) = 0;
    // A file holds more than the offsets of the last await_output(); once for each of those calls.
    virtual void output(const JobId& job) = 0;
    // Nothing of the job runs any more; what the files hold now is all.
    virtual void ended(const JobId& job, const JobResult& result) = 0;
};

// Which of a job's followers; the one that it was started for is the first.
using FollowerId = std::uint64_t;
inline constexpr FollowerId first_follower = 1;

// Why somebody follows no more.
enum class Leaving : std::uint8_t {
    gone,         // the client went
    interrupted,  // we broke it off, or a program of ours did: the client may come back
};

}  // namespace postern::jobs
