#include "daemon/jobs/job_table.h"

#include <sys/epoll.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>

namespace postern::jobs {
namespace {

// How often output is looked at that grows.
constexpr std::chrono::milliseconds look_interval{200};

}  // namespace

Result<std::unique_ptr<JobTable>> JobTable::create(sd_event* event, Settings settings,
                                                   RecordStore records, Observer& observer) {
    std::unique_ptr<JobTable> table(
        new JobTable(event, std::move(settings), std::move(records), observer));
    POSTERN_TRY(auto watcher, FileWatcher::create(
                                  event, [raw = table.get()](int watch) { raw->changed(watch); },
                                  [raw = table.get()] { raw->any_changed(); }));
    table->watcher_ = std::move(watcher);
    const int r = add_io(event, table->record_news_, table->records_.news(), EPOLLIN,
                         [raw = table.get()](std::uint32_t) { raw->records_.tell_news(); });
    if (r < 0) return fail(std::string("records: ") + std::strerror(-r));
    table->records_.set_hooks(
        {[&observer](const Record& job, const std::string& why, bool for_room) {
             observer.evicted(job, why, for_room);
         },
         [&observer](const std::string& path, const std::string& why) {
             observer.disk_full(path, why);
         },
         [&observer](const std::string& path) { observer.disk_has_room(path); }});
    return table;
}

JobTable::JobTable(sd_event* event, Settings settings, RecordStore records, Observer& observer)
    : event_(sd_event_ref(event)),
      settings_(std::move(settings)),
      records_(std::move(records)),
      observer_(observer),
      later_timer_(
          event, [this] { do_what_is_due(); }, std::chrono::microseconds(1)),
      look_timer_(event, [this] { look_at_outputs(); }) {}

// ---- Which there are ----

void JobTable::add(std::unique_ptr<Job> job) {
    ++active_of_payer_[job->record().requester.payer()];
    const JobId id = job->id();
    jobs_.emplace(id, std::move(job));
}

Job* JobTable::find(const JobId& job) const {
    const auto found = jobs_.find(job);
    return found == jobs_.end() ? nullptr : found->second.get();
}

std::size_t JobTable::active_of(uid_t payer) const {
    const auto found = active_of_payer_.find(payer);
    return found == active_of_payer_.end() ? 0 : found->second;
}

void JobTable::over(Job& job, const std::optional<StartFailure>& failure) {
    const auto node = jobs_.extract(job.id());
    look_at_.erase(&job);
    const auto active = active_of_payer_.find(job.record().requester.payer());
    if (--active->second == 0) active_of_payer_.erase(active);
    Followers followers = job.take_followers();
    if (failure) {
        observer_.start_failed(job.record(), *failure);
        followers.start_failed(job.id(), *failure);
    } else {
        observer_.ended(job.record());
        followers.ended(job.id(), job.record().result);
    }
    if (shut_down_ && nothing_to_wait_for()) later(shut_down_);
}

void JobTable::shut_down(std::function<void()> done) {
    shut_down_ = std::move(done);
    for (const auto& [id, job] : jobs_) {
        if (!job->outlives_the_guard()) job->end(Outcome::stopped);
    }
    if (nothing_to_wait_for()) later(shut_down_);
}

bool JobTable::nothing_to_wait_for() const {
    return std::ranges::all_of(
        jobs_, [](const auto& entry) { return entry.second->outlives_the_guard(); });
}

// ---- What jobs ask ----

void JobTable::notice(const std::string& message) const {
    if (settings_.notice) settings_.notice(message);
}

int JobTable::watch(Job& job, const std::string& path, FileWatcher::Times times) {
    const int watch = watcher_->watch(path, times);
    if (watch >= 0) watches_[watch] = &job;
    return watch;
}

void JobTable::unwatch(int watch) {
    watches_.erase(watch);
    watcher_->forget(watch);
}

void JobTable::changed(int watch) {
    const auto found = watches_.find(watch);
    if (found != watches_.end()) found->second->file_changed(watch);
}

void JobTable::any_changed() {
    std::vector<int> all;
    all.reserve(watches_.size());
    for (const auto& [watch, job] : watches_) all.push_back(watch);
    for (const int watch : all) changed(watch);
}

void JobTable::look_soon(Job& job) {
    if (look_at_.empty()) static_cast<void>(look_timer_.arm(look_interval));
    look_at_.insert(&job);
}

void JobTable::look_at_outputs() {
    std::unordered_set<Job*> now;
    now.swap(look_at_);
    for (Job* job : now) {
        if (job->look_at_output()) look_soon(*job);
    }
}

void JobTable::later(const Job& job, std::function<void(Job&)> what) {
    later([this, id = job.id(), what = std::move(what)] {
        if (Job* active = find(id)) what(*active);
    });
}

void JobTable::later(std::function<void()> what) {
    later_.push_back(std::move(what));
    if (later_.size() == 1) static_cast<void>(later_timer_.arm(std::chrono::microseconds(0)));
}

void JobTable::do_what_is_due() {
    std::vector<std::function<void()>> now;
    now.swap(later_);
    for (const std::function<void()>& what : now) what();
}

}  // namespace postern::jobs
