#include "daemon/jobs/record/record_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>

#include "base/limits.h"
#include "daemon/jobs/record/disk_room.h"
#include "daemon/jobs/record/job_folder.h"
#include "daemon/jobs/record/state_folder.h"
#include "host/same_file.h"

namespace postern::jobs {
namespace {

std::string why(const std::string& what) {
    return std::string(what).append(": ").append(std::strerror(errno));
}

// For the log and the audit, where the record can't be read.
Record record_of(const JobFacts& facts) {
    Record record;
    record.job = facts.job;
    record.action = facts.action;
    record.state = facts.state;
    record.requester.uid = facts.owner.uid;
    record.requester.gid = facts.owner.gid;
    record.requester.pid = facts.pid;
    record.requester.paid_by = facts.owner.paid_by;
    record.created = facts.created;
    record.result = facts.result;
    return record;
}

}  // namespace

Result<RecordStore, StateError> RecordStore::open(const std::string& state_folder,
                                                  const std::string& runtime_folder,
                                                  const Retention& retention, Notice notice) {
    POSTERN_TRY(StateFolder state, StateFolder::open(state_folder));
    RecordStore store{GroupDigest(state.key), state.key};
    store.state_folder_ = std::move(state.path);
    store.folder_number_ = state.number;
    store.jobs_ = std::move(state.jobs);
    store.lock_ = std::move(state.lock);
    UniqueFd jobs = duplicate(store.jobs_.get());
    if (!jobs) return Unexpected(StateError{why(state_folder + "/jobs")});
    auto files =
        RecordFiles::open(std::move(jobs), store.state_folder_ + "/jobs", runtime_folder, notice);
    if (!files) return Unexpected(StateError{std::move(files).error().message});
    store.files_ = *std::move(files);
    store.kept_.set_bounds(with_defaults(retention, room_on(store.jobs_.get()).size));
    store.kept_.set_is_read(
        [jobs = store.jobs_.get()](const JobId& job) { return is_output_open(jobs, job); });
    store.notice_ = std::move(notice);
    return store;
}

// ---- Its place ----

RecordStore::Place RecordStore::look() {
    const StateFolder::Held held{state_folder_, jobs_.get(), lock_.get(), key_};
    const auto checked = StateFolder::check(held);
    if (checked) {
        set_place_problem("");
        return Place::there;
    }
    if (checked.error() != ENOENT) {
        set_place_problem("state directory " + state_folder_ + ": " +
                          std::strerror(checked.error()) +
                          "; see that the daemon can write to it, or restart it with another one");
        return Place::lost;
    }
    if (const Status opened = open_again(held); !opened) {
        set_place_problem("state directory " + state_folder_ +
                          " was removed, renamed or replaced, and can't be re-created (" +
                          opened.error().message +
                          "); restart the daemon: systemctl restart posternd.service");
        return Place::lost;
    }
    set_place_problem("");
    if (notice_) {
        notice_("state directory " + state_folder_ +
                " was removed, renamed or replaced: made again; what was in it of jobs is lost");
    }
    return Place::made_again;
}

Status RecordStore::open_again(const StateFolder::Held& held) {
    auto again = StateFolder::open_again(held);
    if (!again) return fail(again.error().message);
    StateFolder fresh = *std::move(again);
    const bool is_another = !lies_at(jobs_.get(), state_folder_ + "/jobs");
    // The numbers of the descriptors stay: others have them.
    if (dup3(fresh.jobs.get(), jobs_.get(), O_CLOEXEC) < 0) return fail(std::strerror(errno));
    if (is_another) {
        index_ = JobIndex();
        kept_.clear();
    }
    if (const auto moved = files_->move_to(jobs_.get()); !moved) {
        return fail(std::strerror(moved.error()));
    }
    if (fresh.lock) lock_ = std::move(fresh.lock);
    return {};
}

void RecordStore::set_place_problem(std::string problem) {
    if (problem == place_problem_) return;
    place_problem_ = std::move(problem);
    if (!notice_) return;
    notice_(place_problem_.empty() ? "state directory " + state_folder_ + " can be used again"
                                   : place_problem_ + "; no job is started before");
}

void RecordStore::restore(const Record& record) {
    if (mkdirat(jobs_.get(), record.job.text().c_str(), 0700) < 0 && errno != EEXIST) return;
    static_cast<void>(write(record, RecordFiles::Step::first));
}

Result<UniqueFd> RecordStore::make_folder(const JobId& job) {
    POSTERN_TRY(files_->keeps_up());
    if (room_for_start() != Room::there) {
        return fail(state_folder_ + "/jobs: " + std::strerror(ENOSPC));
    }
    if (mkdirat(jobs_.get(), job.text().c_str(), 0700) < 0) {
        const int error = errno;
        if (is_want_of_room(error)) static_cast<void>(make_room(room_of_start));
        errno = error;
        return fail(why(state_folder_ + "/jobs/" + job.text()));
    }
    UniqueFd folder = open_folder(job);
    if (!folder) {
        const Unexpected<Error> failure = fail(why(state_folder_ + "/jobs/" + job.text()));
        remove(job);
        return failure;
    }
    return folder;
}

UniqueFd RecordStore::open_folder(const JobId& job) const {
    return open_job_folder(jobs_.get(), job);
}

Status RecordStore::write(const Record& record) {
    return write(record, record.state == RecordState::starting ? RecordFiles::Step::first
                                                               : RecordFiles::Step::between);
}

Status RecordStore::write(const Record& record, RecordFiles::Step step) {
    Status written = files_->write(record.job, to_json(record), step);
    if (files_->wanted_room()) static_cast<void>(make_room(room_of_start));
    return written;
}

Status RecordStore::write_last(const Record& record) {
    std::string text = to_json(record);
    const std::size_t bytes = text.size();
    Status written = files_->write(record.job, std::move(text), RecordFiles::Step::last);
    forget_old_keys();
    add(record, bytes);
    keep_bounds(record.requester.payer());
    if (files_->wanted_room()) static_cast<void>(make_room(room_of_start));
    // So that the next start finds room. Who has followed this job reads it now: it does not go
    // yet.
    const DiskRoom room = room_on(jobs_.get());
    const std::uint64_t spare = spare_room(room);
    if (room.free < spare && !files_->frees()) {
        static_cast<void>(free_room(spare - room.free, 0, false));
    }
    return written;
}

void RecordStore::remove(const JobId& job) {
    kept_.forget_running(job);
    files_->remove(job);
}

// Where the clock was set back meanwhile, nothing is young that it does not know to be so.
bool RecordStore::is_young(Time ended) const {
    const auto age = now_() - ended;
    return age >= age.zero() && age < limits::key_memory;
}

// What a key asks for: how its job ended.
void RecordStore::reduce(const JobId& job) {
    std::optional<Record> record = read(job);
    // Without a digest the arguments are what another call with its key is compared with.
    if (record && record->requester.call) {
        record->arguments.clear();
        record->lists.clear();
    }
    files_->reduce(job, record ? to_json(*record) : std::string());
}

std::uint64_t RecordStore::evict(const Age& age, const std::string& why, bool for_room) {
    if (const auto facts = index_.find(age.second); facts && hooks_.evicted) {
        // The audit says of each that goes for others from which unit it had come; for newer ones
        // of the same user they go all the time, and no file is read for that.
        auto record = for_room ? read(age.second) : std::nullopt;
        hooks_.evicted(record ? *record : record_of(*facts), why, for_room);
    }
    if (!kept_.has_key(age) || !is_young(age.first)) return forget(age);
    reduce(age.second);
    return kept_.reduce(age);
}

std::uint64_t RecordStore::forget(const Age& age) {
    const JobId job = age.second;
    files_->remove(job);
    index_.remove(job);
    return kept_.forget(age);
}

void RecordStore::forget_old_keys() {
    while (const auto oldest = kept_.oldest_key()) {
        if (is_young(oldest->first)) return;
        forget(*oldest);
    }
}

bool RecordStore::has_room_for_key(uid_t payer) {
    forget_old_keys();
    return kept_.has_room_for_key(payer);
}

void RecordStore::add(const Record& record, std::uint64_t record_bytes) {
    kept_.forget_running(record.job);
    // A key whose job never began is free.
    const bool has_key = !record.requester.key.empty() && !record.again;
    kept_.add(Age(record.result.ended, record.job), record.requester.payer(), has_key,
              occupied_by(jobs_.get(), record.job, record_bytes));
    index_.add(record, number_of_unit(record.requester), number_of_key(record.requester));
}

void RecordStore::keep_bounds(uid_t payer) {
    constexpr std::array<const char*, 3> names = {
        "newer ones are kept", "limit storedOutputPerUser", "limit storedOutputTotal"};
    while (const auto next = kept_.beyond_bounds(payer)) {
        const auto& [age, bound] = *next;
        evict(age, names.at(static_cast<std::size_t>(bound)), bound == KeptJobs::Bound::stored);
    }
}

void RecordStore::set_aside(const JobId& job, const std::string& reason) const {
    const UniqueFd folder = open_folder(job);
    const bool renamed =
        folder && renameat(folder.get(), record_name, folder.get(), bad_record_name) == 0;
    if (!notice_) return;
    notice_("record " + state_folder_ + "/jobs/" + job.text() + "/" + record_name +
            " is not believed: " + reason +
            (renamed ? std::string("; it is now ") + bad_record_name : "") +
            "; look at it, then remove its directory");
}

std::optional<Record> RecordStore::read(const JobId& job) const {
    const auto text = files_->read(job);
    if (!text) return std::nullopt;
    Result<Record> record = from_json(*text);
    if (!record || record->job != job) return std::nullopt;
    return std::move(*record);
}

std::uint64_t RecordStore::number_of_unit(const Requester& who) const {
    return unit_number(who.unit, [this](auto bytes) { return digest_.of_bytes(bytes); });
}

// Keys are long and callers choose them: so they are known by a digest, under a key that no caller
// knows. 0: there is none.
std::uint64_t RecordStore::number_of_key(const Requester& who) const {
    if (who.key.empty()) return 0;
    const auto& [uid, gid, groups, groups_known, key] = owner_of(who);
    const std::string text = std::to_string(uid) + ' ' + std::to_string(gid) + ' ' +
                             std::to_string(groups) + (groups_known ? " all " : " some ") + key;
    const std::vector<std::uint8_t> bytes(text.begin(), text.end());
    return std::max<std::uint64_t>(digest_.of_bytes(bytes), 1);
}

std::vector<JobId> RecordStore::find_key(const Requester& who) const {
    const std::uint64_t number = number_of_key(who);
    if (number == 0) return {};
    std::vector<JobId> jobs = index_.with_key(number);
    const auto [first, last] = remembered_.equal_range(number);
    for (auto entry = first; entry != last; ++entry) jobs.push_back(entry->second);
    return jobs;
}

void RecordStore::remember_key(const Record& record) {
    if (const std::uint64_t key = number_of_key(record.requester); key != 0) {
        remembered_.emplace(key, record.job);
    }
}

std::vector<Record> RecordStore::load() {
    std::vector<Record> unfinished;
    std::set<uid_t> payers;
    for (const JobKey& key : files_->jobs()) {
        const JobId job = key.id();
        const auto text = files_->read(job);
        if (!text && text.error() == ENOENT) {
            const UniqueFd folder = open_folder(job);
            // The guard died before it wrote the record, and so before anything started.
            if (folder && faccessat(folder.get(), bad_record_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
                remove(job);
            }
            continue;
        }
        if (!text) {
            set_aside(job, std::strerror(text.error()));
            continue;
        }
        const Result<Record> record = from_json(*text);
        if (!record || record->job != job) {
            set_aside(job, record ? "it is another job's" : record.error().message);
        } else if (is_over(record->state)) {
            add(*record, text->size());
            payers.insert(record->requester.payer());
        } else {
            unfinished.push_back(*record);
        }
    }
    // Only now is known which are the oldest.
    forget_old_keys();
    for (const uid_t payer : payers) keep_bounds(payer);
    static_cast<void>(room_for_start());
    return unfinished;
}

// ---- Room on the disk ----

bool RecordStore::free_room(std::uint64_t bytes, std::size_t jobs, bool newest) {
    forget_old_keys();
    if (files_->frees()) return true;
    if (kept_.freeable(newest) < bytes || kept_.whole() < std::max<std::size_t>(jobs, 1))
        return false;
    std::uint64_t freed = 0;
    std::size_t count = 0;
    for (; freed < bytes || count < jobs; ++count) {
        const auto next = kept_.next_for_room(newest);
        if (!next) break;
        gives_way_ = true;
        freed += evict(*next, "the disk is full", true);
    }
    // The thread may be done with it by now.
    return count > 0;
}

RecordStore::Room RecordStore::room_for_start() {
    const DiskRoom room = room_on(jobs_.get());
    if (is_room_for_start(room)) return Room::there;
    const std::uint64_t spare = spare_room(room);
    const auto lack = [&room](std::uint64_t wanted) {
        return wanted > room.free ? wanted - room.free : 0;
    };
    // Files: each has four.
    const std::size_t jobs = room.files < files_of_start ? files_of_start / 4 : 0;
    if (free_room(lack(spare), jobs, true) || free_room(lack(room_of_start), jobs, true)) {
        return Room::soon;
    }
    set_full(std::strerror(ENOSPC));
    return Room::none;
}

bool RecordStore::gives_way() {
    gives_way_ = gives_way_ && files_->frees();
    return gives_way_;
}

RecordStore::Room RecordStore::make_room(std::uint64_t bytes) {
    // A record takes little: where there is not as much as was asked for, that much may do.
    constexpr std::uint64_t least = std::uint64_t{16} * 1024;
    if (free_room(bytes, 1, true) || free_room(std::min(bytes, least), 1, true)) return Room::soon;
    set_full(std::strerror(ENOSPC));
    return Room::none;
}

std::uint64_t RecordStore::set_size(const JobId& job, uid_t payer, std::uint64_t bytes) {
    const std::uint64_t may = kept_.set_running(job, payer, bytes);
    keep_bounds(payer);
    return may;
}

void RecordStore::set_full(const std::string& why) {
    files_->look_for_room();
    if (!full_.empty()) return;
    const std::string path = state_folder_ + "/jobs";
    full_ = path + ": " + why;
    if (hooks_.disk_full) hooks_.disk_full(path, why);
}

void RecordStore::tell_news() {
    files_->tell_news();
    if (files_->wanted_room()) static_cast<void>(make_room(room_of_start));
    if (!files_->found_room() || full_.empty()) return;
    full_.clear();
    if (hooks_.disk_has_room) hooks_.disk_has_room(state_folder_ + "/jobs");
}

}  // namespace postern::jobs
