// What the administrator asks for through the administrator's socket: what is going on, another
// load of the action files, another log level. It decides nothing about callers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/guard/calls/call_context.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/policy/snapshot.h"
#include "model/call.h"

namespace postern {

class Administration {
  public:
    // What it asks of the rest of the guard.
    struct Hooks {
        std::function<std::vector<CallerReport>()> callers;
        // Looks whether what the guard depends on is there, and mends what it can: what is left.
        std::function<std::vector<ProblemReport>()> problems;
        // Begins a load and returns its number, as in PolicyStore::load().
        std::function<std::uint64_t()> reload;
        std::function<std::string()> log_level;
        std::function<Status(const std::string&)> set_log_level;
    };

    Administration(jobs::JobManager& jobs, std::vector<SocketReport> sockets, Hooks hooks);

    // A load that began after this request came to this: who waits for it is answered.
    void loaded(const Result<policy::SnapshotPtr>& snapshot, std::uint64_t request);

    // Precondition: the call is the administrator's.
    void handle(const CallPtr& call, const ManageCall& asked);

  private:
    void report_status(CallContext& call) const;
    void report_jobs(CallContext& call) const;
    void report_files(CallContext& call) const;
    void report_no_effect(CallContext& call, const std::vector<std::string>& kept_out) const;
    std::vector<std::string> kept_out_news();
    void report_problems(CallContext& call) const;
    void finish(CallContext& call, const Status& done) const;

    jobs::JobManager& jobs_;
    std::vector<SocketReport> sockets_;
    Hooks hooks_;
    Time started_;
    policy::SnapshotPtr snapshot_;
    std::vector<std::string> told_;  // of the last that was told to whom a reload was answered
    std::string unreadable_;         // why what stands there now could not be loaded; empty: it was
    std::multimap<std::uint64_t, CallPtr> reloads_;  // by the request that they wait for
};

}  // namespace postern
