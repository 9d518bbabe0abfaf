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
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/jobs/record/group_digest.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/record/record_files.h"
#include "daemon/jobs/record/requester.h"
#include "daemon/jobs/record/retention.h"

namespace postern::jobs {

class RecordStore {
  public:
    using Notice = RecordFiles::Notice;

    // Makes the state folder and the jobs folder (both 0700), and locks the state folder for this
    // process. The runtime folder is as in RecordFiles. Error: it can't be made, is not safe, or is
    // another guard's.
    static Result<RecordStore> open(const std::string& state_folder,
                                    const std::string& runtime_folder, const Retention& retention,
                                    Notice notice);

    // Its true path, without symbolic links.
    [[nodiscard]] const std::string& state_folder() const { return state_folder_; }

    [[nodiscard]] const GroupDigest& digest() const { return digest_; }

    // The job's own, empty folder, 0700. Error: why not.
    [[nodiscard]] Result<UniqueFd> make_folder(const JobId& job) const;
    // It again. Invalid: errno.
    [[nodiscard]] UniqueFd open_folder(const JobId& job) const;
    // As RecordFiles::write().
    Status write(const Record& record) const;
    // The record of a job that is over. Afterwards the oldest records above the limits go.
    Status write_last(const Record& record);
    // Whether one more key of this payer can be remembered for as long as it must be.
    [[nodiscard]] bool has_room_for_key(uid_t payer);
    // All of the job.
    void remove(const JobId& job) const { files_->remove(job); }
    // For the loop: what RecordFiles has to tell, and what is wrong.
    [[nodiscard]] int news() const { return files_->news(); }
    void tell_news() const { files_->tell_news(); }
    [[nodiscard]] std::string problem() const { return files_->problem(); }

    // The jobs of all folders: those that are over are counted for the limits, the others returned.
    // A record that can't be believed is renamed to record.json.bad, and told.
    std::vector<Record> load();
    // The record of a job. Absent: there is none, or it can't be believed.
    [[nodiscard]] std::optional<Record> read(const JobId& job) const;
    // The record of a job that is over, from memory: without its arguments, and without what it
    // ran in. Null: it is not over, or its record is no longer kept. Until the next write_last().
    [[nodiscard]] const Record* find(const JobId& job) const;
    // The jobs that are over, or remembered, which this owner had given this key.
    [[nodiscard]] std::vector<JobId> find_key(const Requester& who) const;
    void remember_key(const Record& record);
    // For tests.
    void set_clock(std::function<Time()> now) { now_ = std::move(now); }

  private:
    explicit RecordStore(const GroupDigest& digest) : digest_(digest) {}
    void set_aside(const JobId& job, const std::string& why) const;
    [[nodiscard]] std::uint64_t output_bytes(const JobId& job) const;
    void keep(const Record& record);

    GroupDigest digest_;
    std::string state_folder_;
    UniqueFd jobs_;
    UniqueFd lock_;
    std::unique_ptr<RecordFiles> files_;
    Retention retention_;
    Notice notice_;
    std::function<Time()> now_ = [] {
        return std::chrono::time_point_cast<Time::duration>(std::chrono::system_clock::now());
    };

    // Those that are over, oldest first: by time of the end, then by job.
    using Age = std::pair<Time, JobId>;
    struct Over {
        Owner owner;
        uid_t payer;
        bool has_key;  // that stands for it
    };
    struct OfPayer {
        std::map<Age, std::uint64_t> output_bytes;  // of those that are whole
        std::uint64_t total_bytes = 0;
        std::size_t keys = 0;  // kept for their key alone
    };
    [[nodiscard]] bool is_young(Time ended) const;
    // Takes a whole one away: for good, or all but its key.
    void evict(const Age& age);
    void reduce(const JobId& job) const;
    void forget(const Age& age);
    void forget_old_keys();
    std::map<Age, Over> over_;
    std::unordered_map<JobId, Record> in_memory_;  // the same jobs
    std::set<Age> keys_;                           // of those: kept for their key alone
    std::unordered_map<uid_t, OfPayer> over_of_payer_;
    std::multimap<Owner, JobId> by_key_;  // of those that have a key
};

}  // namespace postern::jobs
