// The guard: everything it holds, and its life from start to stop.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/guard/audit/audit.h"
#include "daemon/guard/calls/administration.h"
#include "daemon/guard/calls/calls.h"
#include "daemon/guard/calls/current_policy.h"
#include "daemon/guard/calls/job_audit.h"
#include "daemon/guard/config/configuration.h"
#include "daemon/guard/datagram/datagrams.h"
#include "daemon/guard/known_callers.h"
#include "daemon/guard/listen/acceptor.h"
#include "daemon/guard/listen/connection_closer.h"
#include "daemon/guard/policy_report.h"
#include "daemon/guard/policy_store.h"
#include "daemon/guard/service/activity.h"
#include "daemon/guard/service/service_notice.h"
#include "daemon/guard/service/signals.h"
#include "daemon/guard/sessions/session_pool.h"
#include "daemon/guard/upkeep.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/jobs/output/keeper_link.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/spawner.h"
#include "daemon/loop/turn_loop.h"

namespace postern {

class Manager {
  public:
    // Takes or binds its sockets, but accepts nothing before the action files are loaded. Errors
    // are for the administrator and end the start.
    static Result<std::unique_ptr<Manager>> create(const Configuration& configuration, uid_t uid,
                                                   std::uint64_t open_files);
    ~Manager();
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    // Until SIGTERM or SIGINT; returns the exit code.
    int run();

  private:
    enum class State : std::uint8_t { starting, serving, reloading, stopping };

    Manager(Configuration configuration, uid_t uid);
    void set_state(State state);
    Status watch_signals();
    Status set_up_policy(std::vector<std::string> sockets);
    Result<jobs::KeeperLink::Connect> output_keeper();
    Status set_up_jobs(std::uint64_t open_files);
    Result<SessionSettings> session_settings();
    void set_up_sessions(const std::vector<Listener>& listeners, const SessionSettings& settings);
    Status set_up_listeners(std::vector<Listener> listeners);
    void set_up_activity();
    void set_up_upkeep(const std::vector<Listener>& listeners);
    void open_audit();
    void touch();
    void leave_idle();
    void leave();
    void loaded(const PolicyRead& read, std::uint64_t request);
    bool begin_to_serve();
    void put_in_force(const policy::SnapshotPtr& snapshot);
    std::uint64_t reload();
    void stop();

    Configuration configuration_;
    uid_t uid_;
    State state_ = State::starting;
    policy::SnapshotPtr in_force_;  // null: nothing yet
    std::uint64_t reload_ = 0;      // the last load that was asked for
    std::string unreadable_;        // why the action files could not be read; empty: they were
    bool ranges_kept_ = false;      // of subordinate ids that were taken away
    bool started_by_its_sockets_ = false;  // all of them are systemd's, which starts it again
    // In the order in which each needs those before it.
    EventLoop event_;
    std::unique_ptr<TurnLoop> turns_;
    std::unique_ptr<ServiceNotice> notice_;
    std::unique_ptr<Signals> signals_;
    std::unique_ptr<Spawner> spawner_;
    UniqueFd dropper_program_;
    std::unique_ptr<ConnectionCloser> closer_;
    std::unique_ptr<ConnectionCloser> pipe_closer_;
    UniqueFd session_program_;
    std::unique_ptr<Audit> audit_;
    std::unique_ptr<PolicyReport> report_;
    std::string systemd_socket_;  // of the systemd that supervises jobs; empty: the guard does
    std::unique_ptr<JobAudit> job_audit_;
    std::unique_ptr<jobs::StartQueue> starts_;
    std::unique_ptr<jobs::JobManager> jobs_;
    std::unique_ptr<Administration> administration_;
    std::unique_ptr<CurrentPolicy> current_;
    std::unique_ptr<Calls> calls_;
    std::unique_ptr<SessionPool> pool_;
    std::unique_ptr<Activity> activity_;
    std::unique_ptr<PolicyStore> policy_;
    std::unique_ptr<KnownCallers> known_callers_;
    std::unique_ptr<Acceptor> acceptor_;
    std::unique_ptr<Datagrams> datagrams_;
    std::unique_ptr<Upkeep> upkeep_;
};

}  // namespace postern
