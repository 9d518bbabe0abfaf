// What the administrator asks for through the administrator's socket: what is going on, another
// load of the action files, another log level. It decides nothing about callers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/channel/messages.h"
#include "daemon/guard/sessions/session_pool.h"
#include "daemon/jobs/job_manager.h"
#include "daemon/policy/snapshot.h"

namespace postern {

class Administration final : public SessionPool::Administrator {
  public:
    // `sockets`: what is to be reported of each, but for whom. `reload` begins a load and returns
    // its number, as in PolicyStore::load().
    Administration(const SessionPool& pool, const jobs::JobManager& jobs,
                   std::vector<channel::SocketReport> sockets,
                   std::function<std::uint64_t()> reload);

    // A load that began after this request came to this: who waits for it is answered.
    void loaded(const Result<policy::SnapshotPtr>& snapshot, std::uint64_t request);

    void handle(SessionProcess& session, const channel::Manage& call) override;
    void connection_closed(const SessionProcess& session, std::uint64_t connection) override;

  private:
    // A call, on a connection of a session.
    struct Call {
        SessionProcess* session;
        std::uint64_t connection;
        std::uint32_t request;
    };
    void report_status(const Call& call) const;
    void report_jobs(const Call& call) const;
    void report_bad(const Call& call) const;
    void finish(const Call& call, const Status& done) const;

    const SessionPool& pool_;
    const jobs::JobManager& jobs_;
    std::vector<channel::SocketReport> sockets_;
    std::function<std::uint64_t()> reload_;
    std::uint64_t started_usec_;
    policy::SnapshotPtr snapshot_;
    std::multimap<std::uint64_t, Call> reloads_;  // by the request that they wait for
};

}  // namespace postern
