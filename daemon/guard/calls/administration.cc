#include "daemon/guard/calls/administration.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include "base/version.h"
#include "daemon/guard/service/log.h"
#include "daemon/loop/clock.h"

namespace postern {
Administration::Administration(const SessionPool& pool, const jobs::JobManager& jobs,
                               std::vector<channel::SocketReport> sockets,
                               std::function<std::uint64_t()> reload)
    : pool_(pool),
      jobs_(jobs),
      sockets_(std::move(sockets)),
      reload_(std::move(reload)),
      started_usec_(wall_clock_usec()) {}

void Administration::handle(SessionProcess& session, const channel::Manage& call) {
    const ConnectionInfo& connection = session.connections().at(call.connection);
    if (!connection.administrator) {
        return session.end("it asked for administration on a caller's connection");
    }
    const Call who{&session, call.connection, call.request};
    switch (call.what) {
        case channel::Management::status:
            report_status(who);
            report_bad(who);
            finish(who, {});
            break;
        case channel::Management::reload:
            spdlog::info("reload, asked for by pid {}", connection.pid);
            reloads_.emplace(reload_(), who);
            break;
        case channel::Management::log_level: {
            const Status set = set_log_level(call.text);
            if (set) spdlog::info("log level {}, set by pid {}", call.text, connection.pid);
            finish(who, set);
            break;
        }
        case channel::Management::jobs:
            report_jobs(who);
            finish(who, {});
            break;
    }
}

void Administration::report_status(const Call& call) const {
    call.session->send(channel::StatusReport{
        call.connection, call.request, version, ::getpid(), started_usec_, log_level(),
        std::string(jobs_.supervision()), static_cast<std::uint32_t>(jobs_.active())});
    for (channel::SocketReport socket : sockets_) {
        socket.connection = call.connection;
        socket.request = call.request;
        call.session->send(socket);
    }
    for (const SessionProcess* session : pool_.serving()) {
        const policy::Caller& caller = *session->caller();
        call.session->send(channel::CallerReport{
            call.connection, call.request, caller.uid, caller.gid, caller.unit.value_or(""),
            session->pid(),
            static_cast<std::uint32_t>(session->connections().size() - session->packets())});
    }
}

void Administration::report_jobs(const Call& call) const {
    for (const jobs::ActiveJob& job : jobs_.list()) {
        call.session->send(channel::JobReport{call.connection, call.request, job.job.text(),
                                              job.action, job.requester.uid, job.requester.pid,
                                              job.unit, usec_of(job.created)});
    }
}

void Administration::report_bad(const Call& call) const {
    if (!snapshot_) return;
    for (const policy::BadFile& bad : snapshot_->bad) {
        call.session->send(channel::BadFileReport{call.connection, call.request, bad.action,
                                                  bad.file, bad.message});
    }
}

void Administration::finish(const Call& call, const Status& done) const {
    call.session->send(channel::Managed{
        call.connection, call.request, done.has_value(), done ? "" : done.error().message,
        snapshot_ ? static_cast<std::uint32_t>(snapshot_->actions.size()) : 0});
}

void Administration::loaded(const Result<policy::SnapshotPtr>& snapshot, std::uint64_t request) {
    if (snapshot) snapshot_ = *snapshot;
    // Taken out first: a session may end while it is told, and then its calls are forgotten.
    std::vector<Call> calls;
    const auto end = reloads_.upper_bound(request);
    for (auto it = reloads_.begin(); it != end; ++it) calls.push_back(it->second);
    reloads_.erase(reloads_.begin(), end);
    for (const Call& call : calls) {
        if (!call.session->connections().contains(call.connection)) continue;
        if (snapshot) report_bad(call);
        finish(call, snapshot ? Status() : Status(fail(snapshot.error().message)));
    }
}

void Administration::connection_closed(const SessionProcess& session, std::uint64_t connection) {
    std::erase_if(reloads_, [&](const auto& entry) {
        return entry.second.session == &session && entry.second.connection == connection;
    });
}

}  // namespace postern
