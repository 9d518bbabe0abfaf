// The jobs that are active, and what all of them share: the records, the files that are watched,
// and what is to be done from the loop.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/jobs/file_watcher.h"
#include "daemon/jobs/job.h"
#include "daemon/jobs/job_host.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class JobTable final : public JobHost {
  public:
    using Clock = std::chrono::steady_clock;
    using Jobs = std::unordered_map<JobId, std::unique_ptr<Job>>;

    // `observer` outlives it.
    static Result<std::unique_ptr<JobTable>> create(sd_event* event, Settings settings,
                                                    RecordStore records, Observer& observer);

    [[nodiscard]] sd_event* event() const override { return event_.get(); }
    [[nodiscard]] const Settings& settings() const override { return settings_; }
    [[nodiscard]] const RecordStore& records() const { return records_; }
    RecordStore& records() override { return records_; }
    Observer& observer() override { return observer_; }
    void notice(const std::string& message) const override;
    void add(std::unique_ptr<Job> job) override;
    int watch(Job& job, const std::string& path) override;
    void unwatch(int watch) override;
    KeeperLink& keeper() override { return *keeper_; }
    [[nodiscard]] const KeeperLink& keeper() const { return *keeper_; }
    void sync_soon(const Job& job) override;
    void later(const Job& job, std::function<void(Job&)> what) override;
    void over(Job& job, const std::optional<StartFailure>& failure) override;

    [[nodiscard]] const Jobs& jobs() const { return jobs_; }
    // Null: it is not active.
    [[nodiscard]] Job* find(const JobId& job) const;
    // By their requester.
    [[nodiscard]] std::size_t active_of(uid_t payer) const;

    // As JobManager::shut_down().
    void shut_down(std::function<void()> done);
    [[nodiscard]] bool shuts_down() const { return static_cast<bool>(shut_down_); }
    // Drops all jobs. What the guard started itself is killed.
    void clear() { jobs_.clear(); }
    // The output of a job that is over goes, once nobody can have to come back for it.
    void empty_later(const JobId& job);
    // As JobManager::close_pipes().
    void close_pipes(std::vector<UniqueFd> ends) const;

  private:
    JobTable(sd_event* event, Settings settings, RecordStore records, Observer& observer);
    void later(std::function<void()> what);
    void do_what_is_due();
    void set_up_keeper();
    void told(const output::Message& message, std::vector<UniqueFd>& descriptors);
    void keeper_is_lost();
    void output_is_in_trouble(const output::Message& trouble);
    void tell_room(bool is_there);
    void output_has_grown(Job& job, const output::Message& grown);
    void sync_all();
    void forget_output(const JobId& job);
    void let_go(std::vector<UniqueFd> ends, bool of_unit);
    void let_due_ends_go();
    void empty_due();
    void changed(int watch);
    void any_changed();
    [[nodiscard]] bool nothing_to_wait_for() const;

    EventLoop event_;
    Settings settings_;
    RecordStore records_;
    Observer& observer_;
    std::unique_ptr<FileWatcher> watcher_;
    EventSource record_news_;
    Soon soon_;
    Timer room_timer_;
    Timer ends_timer_;
    Timer unstored_timer_;
    std::unique_ptr<KeeperLink> keeper_;

    std::unordered_map<int, Job*> watches_;
    std::unordered_set<JobId> unsynced_;  // of which postern-output has not heard all
    std::vector<JobId> forgotten_;        // that it is to let go
    std::optional<bool> room_owed_;       // what it is to be told of room
    // Of jobs that are over, and when they are to be let go.
    std::deque<std::pair<Clock::time_point, std::vector<UniqueFd>>> ends_;
    // Jobs that are over whose output is not to be stored, and when it goes.
    std::deque<std::pair<Clock::time_point, JobId>> unstored_;
    std::unordered_map<uid_t, std::size_t> active_of_payer_;
    std::vector<std::function<void()>> later_;
    std::function<void()> shut_down_;  // set: it shuts down
    Jobs jobs_;                        // last, so that jobs go first: they use the others
};

}  // namespace postern::jobs
