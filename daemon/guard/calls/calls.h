// What sessions ask for on behalf of their callers: one table, and the one place where a call is
// allowed or denied.
//
// Each row says who may make the call and by which ways it may come; that is checked before
// anything of it is looked at. The session's own table has said the same to its callers already, so
// a session that breaks it here is hostile.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "daemon/guard/calls/administration.h"
#include "daemon/guard/calls/call_context.h"
#include "daemon/guard/calls/run.h"
#include "daemon/guard/config/limits.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/policy/snapshot.h"
#include "model/call.h"

namespace postern {

class Calls final : public CallHandler {
  public:
    // Whose call it may be.
    enum class Who : std::uint8_t {
        caller,         // anybody's; what it may do is decided by the action's rules
        owner,          // the owner's of the job that it names, or the administrator's; for others
                        // there is no such job
        administrator,  // on a connection of the administrator's socket
    };

    // A row without access does not compile.
    class Row {
      public:
        using Serve = void (*)(Calls& calls, const CallPtr& call, const Call& asked);
        constexpr Row(std::string_view name, Who who, unsigned ways, std::size_t index, Serve serve)
            : name_(name), who_(who), ways_(ways), index_(index), serve_(serve) {}
        [[nodiscard]] constexpr std::string_view name() const { return name_; }
        [[nodiscard]] constexpr Who who() const { return who_; }
        [[nodiscard]] constexpr bool allows(Way way) const {
            return (ways_ & (1U << static_cast<unsigned>(way))) != 0;
        }
        // Of the call, among the alternatives of Call.
        [[nodiscard]] constexpr std::size_t index() const { return index_; }

      private:
        friend Calls;
        std::string_view name_;
        Who who_;
        unsigned ways_;
        std::size_t index_;
        Serve serve_;
    };

    // All of these outlive it.
    Calls(jobs::JobManager& jobs, jobs::StartQueue& starts, JobAudit& job_audit,
          const Limits& limits, CurrentPolicy& current, Administration& administration)
        : environment_{jobs, starts, job_audit, limits, current, nullptr},
          administration_(administration) {}

    // Before the first call.
    void set_snapshot(policy::SnapshotPtr snapshot) { environment_.snapshot = std::move(snapshot); }

    void handle(const CallPtr& call, const Call& asked) override;

    // One for each alternative of Call, in their order.
    static std::span<const Row> rows();

  private:
    // The handlers of the rows; those of `owner` get the job, and what is asked if they take it.
    void run(const CallPtr& call, const RunCall& asked);
    void follow(const CallPtr& call, const jobs::Record& job, const FollowCall& asked);
    void look_up(const CallPtr& call, const jobs::Record& job);
    void cancel(const CallPtr& call, const jobs::Record& job, const CancelCall& asked);
    void cancel_all(const CallPtr& call, const CancelAllCall& asked);
    void list_jobs(const CallPtr& call, const ListCall& asked);
    void check(const CallPtr& call, const CheckCall& asked);
    void describe_action(const CallPtr& call, const DescribeCall& asked);
    void await_output(const CallPtr& call, const AwaitOutput& asked);
    void output_taken(const CallPtr& call, const OutputTaken& asked);
    void manage(const CallPtr& call, const ManageCall& asked);
    void when_current(const CallPtr& call, const std::string& action, std::function<void()> then);
    void hand_over(const CallPtr& call, const HandOver& asked);
    void tell_unit(const CallPtr& call, const UnitCall& asked);

    template <typename Asked, auto handler>
    static void serve(Calls& calls, const CallPtr& call, const Call& asked);
    template <typename Asked, auto handler>
    static void serve_owner(Calls& calls, const CallPtr& call, const Call& asked);
    template <typename Asked, Who who, auto handler>
    static constexpr Row row(std::string_view name, unsigned ways);
    struct Table;

    CallEnvironment environment_;
    Administration& administration_;
};

}  // namespace postern
