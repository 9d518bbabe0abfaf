// The records of all jobs, the index of those that are over, and how long they are kept.
//
// STATE/jobs/<job>/ has what a job wrote: stdout and stderr; its record lies where record_files.h
// says. STATE/groups.key is for the digests in the records.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/jobs/record/group_digest.h"
#include "daemon/jobs/record/job_facts.h"
#include "daemon/jobs/record/job_index.h"
#include "daemon/jobs/record/kept_jobs.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/record/record_files.h"
#include "daemon/jobs/record/requester.h"
#include "daemon/jobs/record/retention.h"
#include "daemon/jobs/record/state_folder.h"

namespace postern::jobs {

// What happens to ended jobs and to the disk. Must not call the store.
struct StoreHooks {
    // Its output was removed to make room, and its record unless its key is young.
    std::function<void(const Record& job, const std::string& why, bool for_room)> evicted;
    // The disk is full: where, and why nothing can be written. And: it has room again.
    std::function<void(const std::string& path, const std::string& why)> disk_full;
    std::function<void(const std::string& path)> disk_has_room;
};

class RecordStore {
  public:
    using Notice = RecordFiles::Notice;

    // Makes the state folder and the jobs folder (both 0700), and locks the state folder for this
    // process. The runtime folder is as in RecordFiles. Error: as StateFolder::open(), or that one
    // is not safe or is another guard's.
    static Result<RecordStore, StateError> open(const std::string& state_folder,
                                                const std::string& runtime_folder,
                                                const Retention& retention, Notice notice);

    // Its true path, without symbolic links.
    [[nodiscard]] const std::string& state_folder() const { return state_folder_; }
    [[nodiscard]] std::uint64_t folder_number() const { return folder_number_; }

    [[nodiscard]] const GroupDigest& digest() const { return digest_; }

    // Before load().
    void set_hooks(StoreHooks hooks) { hooks_ = std::move(hooks); }

    // ---- Its place ----
    enum class Place : std::uint8_t {
        there,
        // It had been removed, renamed or replaced; what was in it is lost, and no longer known.
        made_again,
        lost,  // it can't be made again, or not be written to: place_problem()
    };
    // Whether the state directory is there, and can be written to.
    Place look();
    // Why not, and what to do. Empty: it is.
    [[nodiscard]] const std::string& place_problem() const { return place_problem_; }
    // Of a job that has not ended: its folder and record, made again.
    void restore(const Record& record);

    // The job's own, empty folder, 0700. Error: why not; where there is no room what is over gives
    // way, as in room_for_start().
    [[nodiscard]] Result<UniqueFd> make_folder(const JobId& job);
    // It again. Invalid: errno.
    [[nodiscard]] UniqueFd open_folder(const JobId& job) const;
    // As RecordFiles::write().
    Status write(const Record& record);
    // The record of a job that is over. Afterwards the oldest records above the limits go.
    Status write_last(const Record& record);
    // Whether one more key of this payer can be remembered for as long as it must be.
    [[nodiscard]] bool has_room_for_key(uid_t payer);
    // All of the job.
    void remove(const JobId& job);
    // For the loop: what RecordFiles has to tell, and what is wrong.
    [[nodiscard]] int news() const { return files_->news(); }
    void tell_news();
    [[nodiscard]] std::string problem() const { return files_->problem(); }

    // ---- Room on the disk ----
    //
    // Ended jobs are removed for what is to be written: the oldest of the payer that has stored
    // most, until there is room. The thread of RecordFiles frees their space, at once, whoever has
    // the files open. If removing all of them would not be enough, nothing is removed, and the disk
    // is full: it is looked at twice a second, until there is room again.
    enum class Room : std::uint8_t {
        there,
        soon,  // something is being removed: ask again in a moment
        none,  // the disk is full
    };
    // For one more job.
    Room room_for_start();
    // The ended jobs whose output was not to be stored at all.
    [[nodiscard]] std::vector<JobId> unstored() const { return index_.unstored(); }
    // The output of an ended job is no longer to be stored.
    void empty_output(const JobId& job) { files_->reduce(job, {}); }
    // A byte of a running job's output could not be written for want of room (ENOSPC, EDQUOT), or a
    // file could not be made; `bytes` are to be written. `soon`: try again in a moment, else
    // `none`.
    Room make_room(std::uint64_t bytes);
    // What the output of a running job occupies on the disk by now; to be called when it has
    // changed by much. Counts until write_last() or remove(). Ended jobs are removed for it, beyond
    // the bounds of retention.h. Returns how many bytes it may occupy: less than `bytes` if it is
    // to give up its oldest, which is never asked of those that have no more than an even share.
    std::uint64_t set_size(const JobId& job, uid_t payer, std::uint64_t bytes);
    // Whether something is giving way to what could not be written.
    bool gives_way();
    // Whether anything is being removed; there is more room when it no longer is.
    [[nodiscard]] bool frees() const { return files_->frees(); }
    // Why nothing can be written to the disk. Empty: it can, as far as is known.
    [[nodiscard]] const std::string& disk_full() const { return full_; }

    // The jobs of all folders: those that are over are counted for the limits, the others returned.
    // A record that can't be believed is renamed to record.json.bad, and told.
    std::vector<Record> load();
    // The record of a job. Absent: there is none, or it can't be believed.
    [[nodiscard]] std::optional<Record> read(const JobId& job) const;
    // What is known in memory of a job that is over. Absent: it is not over, or its record is no
    // longer kept.
    [[nodiscard]] std::optional<JobFacts> find(const JobId& job) const { return index_.find(job); }
    // Of those that are over.
    [[nodiscard]] JobPage page(const JobQuery& query) const { return index_.page(query); }
    // As facts have it.
    [[nodiscard]] std::uint64_t number_of_unit(const Requester& who) const;
    // The jobs that are over, or remembered, which this owner had given this key; perhaps, though
    // hardly ever, another one's too.
    [[nodiscard]] std::vector<JobId> find_key(const Requester& who) const;
    void remember_key(const Record& record);
    // For tests.
    void set_clock(std::function<Time()> now) { now_ = std::move(now); }

  private:
    RecordStore(const GroupDigest& digest, const GroupDigest::Key& key)
        : digest_(digest), key_(key) {}
    Status open_again(const StateFolder::Held& held);
    Status write(const Record& record, RecordFiles::Step step);
    void set_place_problem(std::string problem);
    void set_aside(const JobId& job, const std::string& why) const;
    // What is over, to be kept as long as the bounds allow.
    void add(const Record& record, std::uint64_t record_bytes);
    void keep_bounds(uid_t payer);
    // Evicts, and frees so much more than is being freed already. False: that much can't be.
    bool free_room(std::uint64_t bytes, std::size_t jobs, bool newest);
    void set_full(const std::string& why);

    GroupDigest digest_;
    GroupDigest::Key key_;
    std::string place_problem_;
    std::string state_folder_;
    std::uint64_t folder_number_ = 0;
    UniqueFd jobs_;
    UniqueFd lock_;
    std::unique_ptr<RecordFiles> files_;
    Notice notice_;
    StoreHooks hooks_;
    std::string full_;
    bool gives_way_ = false;
    std::function<Time()> now_ = [] {
        return std::chrono::time_point_cast<Time::duration>(std::chrono::system_clock::now());
    };

    // Those that are over.
    using Age = KeptJobs::Age;
    [[nodiscard]] bool is_young(Time ended) const;
    // Takes a whole one away: for good, or all but its key. Returns how much that frees.
    std::uint64_t evict(const Age& age, const std::string& why, bool for_room);
    void reduce(const JobId& job);
    std::uint64_t forget(const Age& age);
    void forget_old_keys();
    [[nodiscard]] std::uint64_t number_of_key(const Requester& who) const;
    KeptJobs kept_;
    JobIndex index_;  // of the same jobs
    // Jobs that are not over, by number_of_key().
    std::multimap<std::uint64_t, JobId> remembered_;
};

}  // namespace postern::jobs
