// The manager of jobs, made of a table of them and of who supervises them.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/job_table.h"
#include "daemon/jobs/supervisor.h"

namespace postern::jobs {

class SupervisedJobs final : public JobManager {
  public:
    SupervisedJobs(std::unique_ptr<JobTable> table, std::unique_ptr<Supervisor> supervisor);
    ~SupervisedJobs() override;
    SupervisedJobs(const SupervisedJobs&) = delete;
    SupervisedJobs& operator=(const SupervisedJobs&) = delete;

    [[nodiscard]] std::string_view supervision() const override { return supervisor_->name(); }
    [[nodiscard]] std::uint64_t digest(std::span<const gid_t> groups) const override;
    [[nodiscard]] std::uint64_t digest(std::span<const std::uint8_t> bytes) const override;
    Result<JobId> start(const policy::Action& action, const policy::Command& command,
                        const Requester& requester, StartPlace place,
                        std::unique_ptr<Follower> follower,
                        const std::function<bool(const JobId& job)>& admit) override;
    [[nodiscard]] Result<Record, NotFound> find(const JobId& job) const override;
    [[nodiscard]] JobPage page(const JobQuery& query) const override;
    [[nodiscard]] std::array<std::optional<StreamSizes>, 2> output_sizes(
        const JobId& job) const override;
    [[nodiscard]] Result<std::vector<Record>> find_key(const Requester& who) const override;
    [[nodiscard]] Result<std::array<UniqueFd, 2>> open_output(const JobId& job) const override;
    Result<FollowerId> follow(const JobId& job, std::unique_ptr<Follower> follower) override;
    void leave(const JobId& job, FollowerId follower, Leaving leaving) override;
    void await_output(const JobId& job, FollowerId follower, std::uint64_t stdout_offset,
                      std::uint64_t stderr_offset) override;
    bool taken(const JobId& job, FollowerId follower, std::uint64_t stdout_offset,
               std::uint64_t stderr_offset) override;
    void end(const JobId& job, Outcome outcome) override;
    std::optional<Cancelled> cancel(const JobId& job, const Cancellation& how) override;
    void close_pipes(std::vector<UniqueFd> ends) override { table_->close_pipes(std::move(ends)); }
    bool has_room_for_key(uid_t payer) override {
        return table_->records().has_room_for_key(payer);
    }
    bool makes_room() override;
    std::string disk_full() override;
    // What was well a moment ago is so now.
    std::string state_problem() override;
    [[nodiscard]] std::string record_problem() const override { return records().problem(); }
    [[nodiscard]] bool ready() const override { return keeper().ready(); }
    [[nodiscard]] std::string output_problem() const override { return keeper().problem(); }
    [[nodiscard]] std::size_t active(uid_t payer) const override {
        return table_->active_of(payer);
    }
    [[nodiscard]] std::size_t active() const override { return table_->jobs().size(); }
    [[nodiscard]] std::size_t unproven(std::optional<uid_t> payer) const override;
    [[nodiscard]] bool settled() const override;
    [[nodiscard]] std::vector<ActiveJob> list() const override;
    void actions_changed(const policy::SnapshotPtr& actions) override {
        supervisor_->actions_changed(actions);
    }
    void shut_down(std::function<void()> done) override {
        supervisor_->shut_down([this, done = std::move(done)] { table_->shut_down(done); });
    }

  private:
    using Clock = std::chrono::steady_clock;

    RecordStore::Place look_at_state();
    // The directory of a new job.
    Result<UniqueFd> make_folder(const JobId& job);
    // Where a job's output goes, which may be there already.
    struct Place {
        JobId id;
        UniqueFd folder;
        std::optional<JobStreams> streams;
    };
    Result<Place> place_for(const policy::Action& action, const policy::Command& command);
    // A job with its record written, admitted but not started.
    Result<std::unique_ptr<Job>> make(Record record, Place& at, bool one_pipe, StartPlace place,
                                      std::unique_ptr<Follower> follower,
                                      const std::function<bool(const JobId& job)>& admit);
    // One that is over. Absent: its file can't be read.
    [[nodiscard]] std::optional<Record> read_over(const JobId& job, const JobFacts& known) const;
    [[nodiscard]] const KeeperLink& keeper() const { return std::as_const(*table_).keeper(); }
    [[nodiscard]] const RecordStore& records() const { return std::as_const(*table_).records(); }

    std::unique_ptr<JobTable> table_;
    std::unique_ptr<Supervisor> supervisor_;
    std::string boot_;
    // When the state directory was last seen to be well. Absent: it was not.
    std::optional<Clock::time_point> state_seen_;
    mutable bool all_proven_ = false;  // and they stay so
    mutable bool settled_ = false;
};

}  // namespace postern::jobs
