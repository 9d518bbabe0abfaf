#include "daemon/jobs/record/record_thread.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "daemon/jobs/record/disk_room.h"
#include "daemon/jobs/record/job_folder.h"

namespace postern::jobs {
namespace {

// Until what could not be copied is tried again.
constexpr std::chrono::milliseconds copy_retry_interval{500};
// How long what may wait does.
constexpr std::chrono::seconds most_waiting{1};

}  // namespace

void RecordThread::tell(std::string message) {
    messages.push_back(std::move(message));
    poke();
}

void RecordThread::poke() const {
    const std::uint64_t one = 1;
    (void)!::write(news.get(), &one, sizeof one);
}

void RecordThread::ask(std::unique_lock<std::mutex> lock, const JobId& job, Work work) {
    const auto [entry, is_new] = left.try_emplace(job);
    // What has been asked for stays so.
    if (work.text.empty() && !work.removes) {
        work.text = entry->second.text;
        work.last = entry->second.last;
    }
    bytes = bytes - entry->second.text.size() + work.text.size();
    work.empties = work.empties || entry->second.empties;
    if (work.frees()) ++to_free;
    if (entry->second.frees()) --to_free;
    const bool may_wait = work.may_wait;
    const bool is_urgent = work.frees();
    entry->second = std::move(work);
    if (is_new && may_wait) {
        if (waiting.empty()) wait_end = Clock::now() + most_waiting;
        waiting.insert(job);
        return wake_by(wait_end, std::move(lock));
    }
    const bool waited = !may_wait && waiting.erase(job) > 0;
    // One that fails waits for its next time; room is needed now.
    const bool failed = !is_new && is_urgent && std::ranges::find(order, job) == order.end();
    if (is_new || waited || failed) order.push_back(job);
    if (!order.empty()) wake_by(Clock::now(), std::move(lock));
}

void RecordThread::wake_by(Clock::time_point when, std::unique_lock<std::mutex> lock) {
    if (sleeps_until <= when) return;
    sleeps_until = Clock::time_point::min();
    lock.unlock();
    changed.notify_one();
}

void RecordThread::order_what_waits() {
    order.insert(order.end(), waiting.begin(), waiting.end());
    waiting.clear();
}

int RecordThread::serve(const JobId& job, const Work& work) const {
    if (work.removes) return remove_job_folder(jobs.get(), job);
    if (work.empties) {
        if (const UniqueFd folder = open_job_folder(jobs.get(), job)) empty_output(folder.get());
    }
    if (work.text.empty()) return 0;
    const int error = put_record(jobs.get(), job, work.text, work.last, true);
    return error == ENOENT && !open_job_folder(jobs.get(), job) ? 0 : error;  // somebody removed it
}

void RecordThread::finish(const JobId& job, Work work, int error) {
    at_work.reset();
    if (work.frees()) {
        work.empties = false;  // that is done
        // What waits for room may be tried again; who waits for it is told when it is all there.
        if (!failing.empty()) retry_at = Clock::now();
        if (--to_free == 0) poke();
    }
    if (work.removes) {
        // The next guard finds what stays.
        if (error != 0) tell(folder_of(job) + " can't be removed: " + std::strerror(error));
        error = 0;
    } else if (!runtime) {
        error = 0;  // as large as it was
    }
    const bool is_newest = !left.contains(job);
    if (error == 0) {
        bytes -= work.text.size();
        if (is_newest && runtime && !work.text.empty()) remove_original(job);
        if (failing.erase(job) == 0 || !failing.empty()) return;
        problem.clear();
        tell("records are copied to " + jobs_path + " again");
        return;
    }
    problem = folder_of(job) + "/" + record_name + " can't be written: " + std::strerror(error);
    if (failing.empty()) {
        tell(problem + "; until it can, the record is kept in " + runtime_path +
             " alone, and is lost where the machine stops: make room, or look what is wrong with "
             "that file system");
    }
    if (is_want_of_room(error)) {
        wanted_room = true;
        poke();
    }
    failing.insert(job);
    retry_at = Clock::now() + copy_retry_interval;
    if (is_newest) {
        left.emplace(job, std::move(work));
    } else {
        bytes -= work.text.size();
    }
}

void RecordThread::look_for_room(std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    const bool found = can_take_room_of_start(jobs.get());
    lock.lock();
    if (!found) return;
    looks_for_room = false;
    found_room = true;
    poke();
}

// Wakes up by itself when something is due, and may do so sooner.
void RecordThread::sleep(std::unique_lock<std::mutex>& lock) {
    constexpr auto never = Clock::time_point::max();
    const auto now = Clock::now();
    sleeps_until = std::min({waiting.empty() ? never : wait_end,
                             failing.empty() && !looks_for_room ? never : retry_at,
                             alert_until > now ? alert_until : never});
    if (sleeps_until == never) {
        changed.wait(lock);
    } else {
        changed.wait_until(lock, sleeps_until);
    }
    sleeps_until = Clock::time_point::min();
}

void RecordThread::run() {
    std::unique_lock lock(mutex);
    for (bool is_last_round = false;;) {
        if (!waiting.empty() && (stopping || Clock::now() >= wait_end)) order_what_waits();
        const bool waits = !failing.empty() || looks_for_room;
        if (order.empty() && waits && (stopping ? !is_last_round : Clock::now() >= retry_at)) {
            retry_at = Clock::now() + copy_retry_interval;
            if (looks_for_room && !stopping) look_for_room(lock);
            for (const JobId& job : failing) {
                if (std::ranges::find(order, job) == order.end()) order.push_back(job);
            }
            is_last_round = stopping;
        }
        if (order.empty()) {
            if (stopping) break;
            sleep(lock);
            continue;
        }
        const JobId job = order.front();
        order.pop_front();
        auto entry = left.extract(job);
        if (entry.empty()) continue;  // it failed, and waited as well
        waiting.erase(job);
        Work work = std::move(entry.mapped());
        at_work = job;
        lock.unlock();
        const int error = serve(job, work);
        lock.lock();
        if (!work.last && !work.frees()) alert_until = Clock::now() + most_waiting;
        finish(job, std::move(work), error);
    }
    ended = true;
    changed.notify_all();
}

int RecordThread::write_original(const JobId& job, const std::string& text) const {
    const std::string name = original_name(job);
    return replace_file(runtime.get(), name, name + ".new", text, false);
}

void RecordThread::note_original(const std::string& why) {
    if (no_original.empty() && !why.empty()) {
        tell(why + "; records are written to " + jobs_path +
             " at once instead, and starts of jobs may wait for the disk: make room, or restart "
             "the daemon where the directory was removed");
    }
    no_original = why;
}

}  // namespace postern::jobs
