// What sessions ask for on behalf of their callers: the decision, and what follows from it.
//
// The one place where a call is allowed or denied. The order is fixed: decide, then look at the
// arguments, then at the limits, then record, then start; so that whoever may not run an action
// learns nothing about it.
//
// A job is its caller's own: only who is the same to every rule (uid, gid, groups, and unit once a
// rule names one) may look it up, follow it, or find it by its key. To everybody else it does not
// exist.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "daemon/channel/messages.h"
#include "daemon/guard/audit/audit.h"
#include "daemon/guard/calls/job_audit.h"
#include "daemon/guard/config/limits.h"
#include "daemon/guard/sessions/session_process.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/verdict.h"

namespace postern {

class Calls {
  public:
    Calls(jobs::JobManager& jobs, Audit& audit, JobAudit& job_audit, const Limits& limits);
    ~Calls();
    Calls(const Calls&) = delete;
    Calls& operator=(const Calls&) = delete;

    void set_snapshot(policy::SnapshotPtr snapshot) { snapshot_ = std::move(snapshot); }

    // Precondition: the message is a call, and names a connection of this session.
    void handle(SessionProcess& session, const channel::ToGuard& message);

    // The connection is over: its jobs go on or are ended, as their actions declare.
    void connection_closed(const SessionProcess& session, std::uint64_t connection,
                           jobs::Leaving leaving);

    [[nodiscard]] bool has_jobs(const SessionProcess& session) const;

  private:
    class Following;
    // A call that is under way. Session numbers are not used again while the session lives.
    using Key = std::tuple<const SessionProcess*, std::uint64_t, std::uint32_t>;
    struct Followed {
        JobId job;
        jobs::FollowerId follower = 0;
    };

    // `starts`: how often the call was begun before and came to nothing through no fault of its
    // own.
    void run(SessionProcess& session, const channel::Run& call, int starts = 0);
    void check(SessionProcess& session, const channel::Check& call);
    void describe_action(SessionProcess& session, const channel::Describe& call);
    void follow(SessionProcess& session, const channel::Follow& call);
    void look_up(SessionProcess& session, const channel::LookUp& call);
    void await_output(SessionProcess& session, const channel::AwaitOutput& call);

    void start(SessionProcess& session, const channel::Run& call, const policy::Verdict& verdict,
               const policy::Command& command, int starts);
    // The call is answered with this job, from its beginning.
    template <typename Call>
    void answer_with(SessionProcess& session, const Call& call, const jobs::Record& record);
    // The job that this caller has given the key, but for one that never began through no fault of
    // its own. Absent: none, as far as records are kept.
    // Error: it can't be found out.
    [[nodiscard]] Result<std::optional<jobs::Record>> find_own(const SessionProcess& session,
                                                               const channel::Run& call) const;
    [[nodiscard]] jobs::Requester requester_of(const SessionProcess& session,
                                               const channel::Run& call) const;
    // How many jobs are followed through this connection.
    [[nodiscard]] std::size_t follows(const SessionProcess& session,
                                      std::uint64_t connection) const;
    // The job, if it is this caller's; else the call is refused and that is audited.
    template <typename Call>
    std::optional<jobs::Record> own_job_or_refuse(SessionProcess& session, const Call& call);
    [[nodiscard]] bool is_own(const SessionProcess& session,
                              const jobs::Requester& requester) const;
    // Whether one more job may run; else the call is refused and audited.
    bool has_room_or_refuse(SessionProcess& session, const channel::Run& call);

    // The action, if this caller may run it; else the call is refused and that is audited.
    template <typename Call>
    policy::Verdict decide_or_refuse(SessionProcess& session, const Call& call);
    // Whether the action may be run by what has called: a packet needs the action's own word. Else
    // the call is refused and audited.
    template <typename Call>
    bool reachable_or_refuse(SessionProcess& session, const Call& call,
                             const policy::Action& action);
    // The command, if the arguments are what they must be; else the call is refused and audited.
    template <typename Call>
    std::optional<policy::Command> bind_or_refuse(SessionProcess& session, const Call& call,
                                                  const policy::Action& action);
    template <typename Call>
    void refuse(SessionProcess& session, const Call& call, channel::Refusal refusal,
                const std::string& subject, const std::string& message);
    [[nodiscard]] static AuditEvent audit_event(AuditEvent::Kind kind,
                                                const SessionProcess& session,
                                                std::uint64_t connection,
                                                const std::string& action);

    jobs::JobManager& jobs_;
    Audit& audit_;
    JobAudit& job_audit_;
    const Limits& limits_;
    policy::SnapshotPtr snapshot_;
    std::map<Key, Followed> under_way_;  // the job manager owns the followers
};

}  // namespace postern
