// The choke point of the guard with everything around it recorded: no process, no file, no socket.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "daemon/guard/calls/administration.h"
#include "daemon/guard/calls/call_context.h"
#include "daemon/guard/calls/calls.h"
#include "daemon/guard/calls/current_policy.h"
#include "daemon/guard/calls/job_audit.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/record/record.h"
#include "daemon/loop/turn_loop.h"
#include "tests/unit/daemon/event_loop.h"

namespace postern {

// What happened, in its order: "audit job-started", "record", "start", "answer JobStarted", ...
using Story = std::vector<std::string>;

// "Refused not_granted hello", "Managed", ...
std::string in_words(const CallAnswer& answer);

// The end of the way back.
class FakeLink final : public CallLink {
  public:
    FakeLink(Story& story, std::map<std::uint32_t, std::unique_ptr<OngoingCall>>& kept,
             std::uint32_t request, const bool& gone)
        : story_(story), kept_(kept), request_(request), gone_(gone) {}

    void answer(CallAnswer answer, std::vector<UniqueFd> files) override;
    void violated(const std::string& how) override { story_.push_back("violated: " + how); }
    void keep(std::unique_ptr<OngoingCall> call) override;
    void forget() override { kept_.erase(request_); }
    OngoingCall* kept() override;
    [[nodiscard]] std::size_t kept_by_connection() const override { return kept_.size(); }
    // How the connection is, of all links alike.
    inline static bool can_hand_over = true;
    inline static bool takes_descriptors = true;
    // What any of them was answered last.
    inline static CallAnswer last_answer;

    bool take_hand_over() override { return can_hand_over; }
    bool hand_over(const std::string& bytes, const std::vector<UniqueFd>& descriptors) override {
        story_.push_back("hand over " + std::to_string(descriptors.size()) + " with " + bytes);
        return takes_descriptors;
    }

  private:
    Story& story_;
    std::map<std::uint32_t, std::unique_ptr<OngoingCall>>& kept_;
    std::uint32_t request_;
    const bool& gone_;
};

// Jobs that nobody runs.
class FakeJobs final : public jobs::JobManager {
  public:
    explicit FakeJobs(Story& story) : story_(story) {}

    // What start() does and finds.
    std::string disk_error;  // not empty: no record can be written
    int room_after = 0;      // how often it is asked for until there is; 0: there never is
    std::string full;
    std::string state;  // what is wrong with its directory
    std::map<JobId, jobs::Record> records;
    std::string records_error;  // not empty: they can't be read
    mutable int pages = 0;      // how many were asked for
    bool outputs_readable = true;
    bool room_for_keys = true;
    bool believes_taken = true;
    std::size_t running = 0;    // besides those that were started here
    std::size_t not_known = 0;  // of these, whether they run
    std::map<JobId, std::unique_ptr<jobs::Follower>> followers;
    std::map<JobId, jobs::StartPlace> places;

    [[nodiscard]] std::string_view supervision() const override { return "nobody"; }
    [[nodiscard]] std::uint64_t digest(std::span<const gid_t> groups) const override;
    [[nodiscard]] std::uint64_t digest(std::span<const std::uint8_t> bytes) const override;
    Result<JobId> start(const policy::Action& action, const policy::Command& command,
                        const jobs::Requester& requester, jobs::StartPlace place,
                        std::unique_ptr<jobs::Follower> follower,
                        const std::function<bool(const JobId& job)>& admit) override;
    [[nodiscard]] Result<jobs::Record, jobs::NotFound> find(const JobId& job) const override;
    [[nodiscard]] jobs::JobPage page(const jobs::JobQuery& query) const override;
    [[nodiscard]] std::array<std::optional<StreamSizes>, 2> output_sizes(
        const JobId& job) const override;
    [[nodiscard]] Result<std::vector<jobs::Record>> find_key(
        const jobs::Requester& who) const override;
    [[nodiscard]] Result<std::array<UniqueFd, 2>> open_output(const JobId& job) const override;
    Result<jobs::FollowerId> follow(const JobId& job,
                                    std::unique_ptr<jobs::Follower> follower) override;
    void leave(const JobId& job, jobs::FollowerId follower, jobs::Leaving leaving) override;
    void await_output(const JobId& job, jobs::FollowerId follower, std::uint64_t stdout_offset,
                      std::uint64_t stderr_offset) override;
    bool taken(const JobId& job, jobs::FollowerId follower, std::uint64_t stdout_offset,
               std::uint64_t stderr_offset) override;
    void end(const JobId& job, Outcome outcome) override;
    std::optional<jobs::Cancelled> cancel(const JobId& job, const jobs::Cancellation& how) override;
    void close_pipes(std::vector<UniqueFd> /*ends*/) override {}
    bool has_room_for_key(uid_t /*payer*/) override { return room_for_keys; }
    bool makes_room() override {
        if (room_after == 0 || --room_after > 0) return room_after > 0;
        disk_error.clear();
        return true;
    }
    std::string disk_full() override { return full; }
    std::string state_problem() override { return state; }
    [[nodiscard]] std::string record_problem() const override { return ""; }
    [[nodiscard]] std::string output_problem() const override { return ""; }
    [[nodiscard]] bool ready() const override { return true; }
    [[nodiscard]] std::size_t active(uid_t payer) const override;
    [[nodiscard]] std::size_t active() const override;
    [[nodiscard]] std::size_t unproven(std::optional<uid_t> /*payer*/) const override {
        return not_known;
    }
    [[nodiscard]] std::vector<jobs::ActiveJob> list() const override;
    void shut_down(std::function<void()> done) override;

    // Tells the follower of a job, as the manager does; its start failed or its end forget it.
    void tell_started(const std::string& id);
    void tell_start_failed(const std::string& id, bool again);
    void tell_ended(const std::string& id, const JobResult& result);

  private:
    Story& story_;
    int started_ = 0;
};

class ChokePoint : public testing::Test {
  protected:
    static constexpr uid_t anna = 1000;
    static constexpr uid_t berta = 1001;

    ChokePoint();

    // Who calls, by which way.
    static Origin by(uid_t uid, std::vector<gid_t> groups, Way way = Way::stream);
    static Origin owner(Way way = Way::stream) { return by(anna, {anna, 27}, way); }
    static Origin administrator() { return by(0, {0}, Way::administrator); }
    // Of a packet: the kernel says no groups.
    static Origin packet(uid_t uid);

    // Makes the call, and gives turns to all that have one; the story of it alone.
    Story call(const Origin& origin, Call asked, std::uint32_t request = 1);
    // Before the first call: by which rules starts wait for their turn.
    void set_starts(const jobs::StartRules& rules) {
        starts_.emplace(loop_.get(), rules, [this] { return may_begin_(); });
    }
    // What has happened since, with those whose turn has come.
    Story since();

    // Actions: "hello" (anna, and by packet), "shut" (anna, but no packet), "dump" (anna,
    // and both ways directly), "berta" (berta alone).
    void set_actions(bool kill_on_disconnect = false);
    [[nodiscard]] static jobs::Record record_of(const std::string& job, jobs::RecordState state);

    void give_turns();

    Story story_;
    bool audit_full_ = false;
    bool gone_ = false;  // the connection
    EventLoop loop_ = make_event_loop();
    std::unique_ptr<Audit> audit_;
    JobAudit job_audit_;
    FakeJobs jobs_{story_};
    std::function<bool()> may_begin_ = [] { return true; };
    std::optional<jobs::StartQueue> starts_;
    Limits limits_;
    std::uint64_t reloads_ = 0;
    Administration administration_;
    // What stands in the action directories is what is in force; else calls wait until
    // current_->loaded().
    bool is_current_ = true;
    std::uint64_t looks_ = 0;
    std::vector<std::string> compared_;  // the action of each comparison
    std::unique_ptr<TurnLoop> turns_;
    std::unique_ptr<CurrentPolicy> current_;
    Calls calls_;
    // Of the one connection.
    std::map<std::uint32_t, std::unique_ptr<OngoingCall>> kept_;
};

}  // namespace postern
