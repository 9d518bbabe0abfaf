// The manager of jobs of a guard whose state directory can't be used yet: on a full or read-only
// disk, or not mounted. Every start fails and says why, and no job is known, until the directory
// can be used; it is tried once a second, and from then on all goes to the manager that was opened.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <memory>
#include <string>

#include "daemon/jobs/job_manager.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class LateJobs final : public JobManager {
  public:
    // Opens the manager. Null: not yet, and `why` says why not, for the administrator.
    using Open = std::function<std::unique_ptr<JobManager>(std::string& why)>;
    // `notice` as in Settings.
    LateJobs(sd_event* event, std::string why, Open open,
             std::function<void(const std::string&)> notice);
    ~LateJobs() override = default;
    LateJobs(const LateJobs&) = delete;
    LateJobs& operator=(const LateJobs&) = delete;

    [[nodiscard]] std::string_view supervision() const override;
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
    void close_pipes(std::vector<UniqueFd> ends) override;
    bool has_room_for_key(uid_t payer) override;
    bool makes_room() override;
    std::string disk_full() override;
    std::string state_problem() override;
    [[nodiscard]] std::string record_problem() const override;
    [[nodiscard]] bool ready() const override;
    [[nodiscard]] std::string output_problem() const override;
    [[nodiscard]] std::size_t active(uid_t payer) const override;
    [[nodiscard]] std::size_t active() const override;
    [[nodiscard]] std::size_t unproven(std::optional<uid_t> payer) const override;
    [[nodiscard]] bool settled() const override;
    [[nodiscard]] std::vector<ActiveJob> list() const override;
    void shut_down(std::function<void()> done) override;
    void actions_changed(const policy::SnapshotPtr& actions) override;

  private:
    void try_again();

    sd_event* event_;
    std::string why_;
    Open open_;
    std::function<void(const std::string&)> notice_;
    std::unique_ptr<JobManager> jobs_;  // null: not yet
    policy::SnapshotPtr actions_;       // until then
    Timer timer_;
    EventSource shut_down_;
};

}  // namespace postern::jobs
