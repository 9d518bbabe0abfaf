// What RecordFiles shares with its thread: the work that waits, and the thread that does it.
#pragma once

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "model/job.h"

namespace postern::jobs {

// In the runtime directory.
inline std::string original_name(const JobId& job) {
    return job.text() + ".json";
}

struct RecordThread {
    using Clock = std::chrono::steady_clock;

    struct Work {
        std::string text;
        bool last = false;
        bool may_wait = false;
        bool empties = false;  // the output
        bool removes = false;
        [[nodiscard]] bool frees() const { return empties || removes; }
    };

    UniqueFd jobs;
    std::string jobs_path;
    UniqueFd runtime;  // none: records are written to the disk at once
    std::string runtime_path;
    UniqueFd news;  // eventfd(2): there are messages, or answers

    // Of all below, and of the files in the runtime directory.
    std::mutex mutex;
    std::condition_variable changed;
    std::map<JobId, Work> left;  // the newest of each job
    std::deque<JobId> order;     // of those in `left`
    std::set<JobId> waiting;     // those in `left` that may wait...
    Clock::time_point wait_end;  // ... all of them until then
    std::set<JobId> failing;     // the others in `left`; while it is tried again also in `order`
    std::optional<JobId> at_work;
    // The thread sleeps until then; the past: it does not sleep, or is being woken.
    Clock::time_point sleeps_until = Clock::time_point::min();
    std::size_t bytes = 0;    // of the texts that are not copied
    std::size_t to_free = 0;  // how many of those in `left`, and at work, free something
    bool wanted_room = false;
    bool looks_for_room = false;
    bool found_room = false;
    Clock::time_point retry_at;
    // Until then more of what may wait is to be expected: the thread wakes up by itself.
    Clock::time_point alert_until;
    std::string problem;      // why: of one of those that fail
    std::string no_original;  // why the latest one could not be written
    std::vector<std::string> messages;
    bool stopping = false;
    bool ended = false;

    // Until `stopping`, and all is done that can be. Takes the mutex; the others want it taken.
    void run();
    void ask(std::unique_lock<std::mutex> lock, const JobId& job, Work work);
    // Wakes the thread, if it would sleep longer. It is to find the mutex free.
    void wake_by(Clock::time_point when, std::unique_lock<std::mutex> lock);
    void sleep(std::unique_lock<std::mutex>& lock);
    void order_what_waits();
    [[nodiscard]] int serve(const JobId& job, const Work& work) const;
    void finish(const JobId& job, Work work, int error);
    [[nodiscard]] int write_original(const JobId& job, const std::string& text) const;
    void remove_original(const JobId& job) const {
        unlinkat(runtime.get(), original_name(job).c_str(), 0);
    }
    [[nodiscard]] std::string folder_of(const JobId& job) const {
        return jobs_path + "/" + job.text();
    }
    void look_for_room(std::unique_lock<std::mutex>& lock);
    void poke() const;
    void tell(std::string message);
    // What keeps it from being written, empty where nothing does.
    void note_original(const std::string& why);
};

}  // namespace postern::jobs
