// What sessions ask for on behalf of their callers: the decision, and what follows from it.
//
// The one place where a call is allowed or denied. The order is fixed: decide, then look at the
// arguments, then at the limits, then record, then start; so that whoever may not run an action
// learns nothing about it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "daemon/audit.h"
#include "daemon/channel/messages.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/limits.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/verdict.h"
#include "daemon/session_process.h"

namespace postern {

class Calls {
  public:
    Calls(jobs::JobManager& jobs, Audit& audit, const Limits& limits);
    ~Calls();
    Calls(const Calls&) = delete;
    Calls& operator=(const Calls&) = delete;

    void set_snapshot(policy::SnapshotPtr snapshot) { snapshot_ = std::move(snapshot); }

    // Precondition: the message is a call, and names a connection of this session.
    void handle(SessionProcess& session, const channel::ToGuard& message);

    // The client went: its jobs go on or are ended, as their actions declare.
    void connection_closed(const SessionProcess& session, std::uint64_t connection);

    [[nodiscard]] bool has_jobs(const SessionProcess& session) const;

  private:
    class JobCall;
    // A call that is under way. Session numbers are not used again while the session lives.
    using Key = std::tuple<const SessionProcess*, std::uint64_t, std::uint32_t>;

    void run(SessionProcess& session, const channel::Run& call);
    void check(SessionProcess& session, const channel::Check& call);
    void describe_action(SessionProcess& session, const channel::Describe& call);
    void await_output(SessionProcess& session, const channel::AwaitOutput& call);

    // The action, if this caller may run it; else the call is refused and that is audited.
    template <typename Call>
    policy::Verdict decide_or_refuse(SessionProcess& session, const Call& call);
    // The command, if the arguments are what they must be; else the call is refused and audited.
    template <typename Call>
    std::optional<policy::Command> bind_or_refuse(SessionProcess& session, const Call& call,
                                                  const policy::Action& action);
    template <typename Call>
    void refuse(SessionProcess& session, const Call& call, channel::Refusal refusal,
                const std::string& subject, const std::string& message);
    template <typename Call>
    AuditEvent audit_event(AuditEvent::Kind kind, const SessionProcess& session, const Call& call);

    jobs::JobManager& jobs_;
    Audit& audit_;
    const Limits& limits_;
    policy::SnapshotPtr snapshot_;
    std::map<Key, JobCall*> under_way_;  // the job manager owns them
};

}  // namespace postern
