#include "daemon/jobs/job_table.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>

namespace postern::jobs {
namespace {

// How long after the end of a job its unit may still be there.
constexpr std::chrono::seconds unit_patience{2};
// Of which so much is asked for when a running job's output finds none, and how long removing files
// may take before it is tried again.
constexpr std::uint64_t room_for_output = std::uint64_t{1024} * 1024;
constexpr std::chrono::milliseconds room_delay{20};

}  // namespace

Result<std::unique_ptr<JobTable>> JobTable::create(sd_event* event, Settings settings,
                                                   RecordStore records, Observer& observer) {
    std::unique_ptr<JobTable> table(
        new JobTable(event, std::move(settings), std::move(records), observer));
    POSTERN_TRY(auto watcher, FileWatcher::create(
                                  event, [raw = table.get()](int watch) { raw->changed(watch); },
                                  [raw = table.get()] { raw->any_changed(); }));
    table->watcher_ = std::move(watcher);
    table->set_up_keeper();
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
      soon_(event, [this] { do_what_is_due(); }),
      room_timer_(
          event, [this] { tell_room(true); }, std::chrono::milliseconds(1)),
      ends_timer_(event, [this] { let_due_ends_go(); }),
      unstored_timer_(event, [this] { empty_due(); }) {}

void JobTable::set_up_keeper() {
    KeeperLink::Hooks hooks;
    hooks.told = [this](const output::Message& message, std::vector<UniqueFd>& descriptors) {
        told(message, descriptors);
    };
    hooks.lost = [this] { keeper_is_lost(); };
    hooks.writable = [this] { sync_all(); };
    hooks.ready = [this] {
        if (settings_.ready) settings_.ready();
    };
    keeper_ = std::make_unique<KeeperLink>(event_.get(), settings_.connect_keeper,
                                           records_.folder_number(), settings_.follower_stall,
                                           std::move(hooks));
}

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
    unsynced_.erase(job.id());
    if (job.output().is_known_to_keeper()) forget_output(job.id());
    let_go(job.take_ends(), job.outlives_the_guard());
    if (keeps_nothing(job.record())) empty_later(job.id());
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

// systemd has the job's ends of a unit too, and lets them go in the turn of its loop in which the
// unit goes.
void JobTable::let_go(std::vector<UniqueFd> ends, bool of_unit) {
    if (!of_unit) return close_pipes(std::move(ends));
    if (ends_.empty()) static_cast<void>(ends_timer_.arm(unit_patience));
    ends_.emplace_back(Clock::now() + unit_patience, std::move(ends));
}

void JobTable::let_due_ends_go() {
    for (; !ends_.empty() && ends_.front().first <= Clock::now(); ends_.pop_front()) {
        close_pipes(std::move(ends_.front().second));
    }
    if (!ends_.empty()) static_cast<void>(ends_timer_.arm(unit_patience / 2));
}

void JobTable::close_pipes(std::vector<UniqueFd> ends) const {
    if (settings_.close_pipes) settings_.close_pipes(std::move(ends));
}

// What is not to be stored is there for those who still read it, or are about to come back.
void JobTable::empty_later(const JobId& job) {
    if (unstored_.empty()) static_cast<void>(unstored_timer_.arm(settings_.follower_stall));
    unstored_.emplace_back(Clock::now() + settings_.follower_stall, job);
}

void JobTable::empty_due() {
    for (; !unstored_.empty() && unstored_.front().first <= Clock::now(); unstored_.pop_front()) {
        records_.empty_output(unstored_.front().second);
    }
    if (!unstored_.empty()) {
        static_cast<void>(unstored_timer_.arm(
            std::chrono::ceil<std::chrono::microseconds>(unstored_.front().first - Clock::now())));
    }
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

int JobTable::watch(Job& job, const std::string& path) {
    const int watch = watcher_->watch(path);
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

void JobTable::sync_soon(const Job& job) {
    if (unsynced_.empty()) later([this] { sync_all(); });
    unsynced_.insert(job.id());
}

void JobTable::later(const Job& job, std::function<void(Job&)> what) {
    later([this, id = job.id(), what = std::move(what)] {
        if (Job* active = find(id)) what(*active);
    });
}

void JobTable::later(std::function<void()> what) {
    later_.push_back(std::move(what));
    static_cast<void>(soon_.ask());
}

void JobTable::do_what_is_due() {
    std::vector<std::function<void()>> now;
    now.swap(later_);
    for (const std::function<void()>& what : now) what();
}

// ---- What postern-output is told, and says ----

void JobTable::sync_all() {
    std::erase_if(forgotten_, [this](const JobId& job) {
        output::Message forget;
        forget.kind = output::Kind::forget;
        forget.job = job;
        return keeper_->send(forget);
    });
    if (room_owed_) {
        output::Message room;
        room.kind = output::Kind::room;
        room.count = *room_owed_ ? 1 : 0;
        if (keeper_->send(room)) room_owed_.reset();
    }
    std::erase_if(unsynced_, [this](const JobId& id) {
        Job* const job = find(id);
        return job == nullptr || job->output().sync(*keeper_);
    });
}

void JobTable::told(const output::Message& message, std::vector<UniqueFd>& descriptors) {
    Job* const job = find(message.job);
    switch (message.kind) {
        case output::Kind::kept:
            if (job != nullptr) return job->output_is_kept(message, descriptors);
            return forget_output(message.job);
        case output::Kind::all_kept: {
            std::vector<JobId> all;
            all.reserve(jobs_.size());
            for (const auto& [id, active] : jobs_) all.push_back(id);
            for (const JobId& id : all) {
                if (Job* const active = find(id)) active->keeper_is_here();
            }
            return sync_all();
        }
        case output::Kind::grown:
            if (job != nullptr) output_has_grown(*job, message);
            return;
        case output::Kind::finished:
            if (job != nullptr) return job->output_is_finished(message);
            return forget_output(message.job);
        case output::Kind::trouble:
            if (job != nullptr) job->output_is_in_trouble();
            return output_is_in_trouble(message);
        default:
            return;
    }
}

// Jobs that have ended give way to what running ones write; that takes a moment. Where nothing can
// go, the oldest bytes of the job itself do, or it waits for those who follow it.
void JobTable::output_is_in_trouble(const output::Message& trouble) {
    const int error = static_cast<int>(trouble.error);
    if (trouble.job.empty())
        return notice("no pipe can be made: " + std::string(std::strerror(error)));
    const bool is_full = error == ENOSPC || error == EDQUOT;
    if (is_full && records_.make_room(room_for_output) == RecordStore::Room::soon) {
        static_cast<void>(room_timer_.arm(room_delay));
        return;
    }
    if (!is_full) {
        notice("the output of job " + trouble.job.text() + " can't be stored: " +
               std::strerror(error) + "; look what is wrong with that file system");
    }
    tell_room(false);
}

void JobTable::tell_room(bool is_there) {
    room_owed_ = is_there;
    sync_all();
}

void JobTable::forget_output(const JobId& job) {
    if (forgotten_.empty()) later([this] { sync_all(); });
    forgotten_.push_back(job);
}

// What a running job has stored counts for its user's bounds.
void JobTable::output_has_grown(Job& job, const output::Message& grown) {
    if (job.output().has_outgrown(grown.stream, grown.sizes.at(grown.stream))) {
        const std::uint64_t stored = job.output().measure();
        job.output().bound(records_.set_size(job.id(), job.record().requester.payer(), stored));
    }
    job.output_has_grown(grown.stream);
}

void JobTable::keeper_is_lost() {
    for (const auto& [id, job] : jobs_) job->output().forget_keeper();
    notice(keeper_->problem() + "; jobs that write wait until it is there again");
}

}  // namespace postern::jobs
