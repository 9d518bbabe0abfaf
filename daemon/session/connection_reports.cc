// The part of Connection that hears from the guard what the administrator has asked for.
#include <utility>

#include "daemon/session/connection.h"
#include "daemon/session/json_values.h"
#include "protocol/reply.h"

namespace postern::session {

using nlohmann::json;

// False: it was not asked for.
bool Connection::report(std::uint32_t request, const char* list, json item) {
    UnderWay* call = under_way(request, Waiting::manage);
    if (call == nullptr || !call->report.contains(list)) return false;
    call->report[list].push_back(std::move(item));
    return true;
}

bool Connection::answer(const channel::StatusReport& status) {
    UnderWay* call = under_way(status.request, Waiting::manage);
    if (call == nullptr || !call->report.contains("sockets")) return false;
    call->report.update({{"version", status.guard_version},
                         {"pid", status.pid},
                         {"startedAt", status.started_usec},
                         {"logLevel", status.log_level},
                         {"supervision", status.supervision},
                         {"jobs", status.jobs}});
    return true;
}

bool Connection::answer(const channel::SocketReport& socket) {
    return report(socket.request, "sockets",
                  {{"path", socket.path},
                   {"kind", socket.datagram ? "datagram" : "stream"},
                   {"administrator", socket.administrator}});
}

bool Connection::answer(const channel::CallerReport& caller) {
    json item = {{"uid", caller.uid},
                 {"gid", caller.gid},
                 {"session", caller.session_pid},
                 {"connections", caller.connections}};
    if (!caller.unit.empty()) item["unit"] = caller.unit;
    return report(caller.request, "callers", std::move(item));
}

bool Connection::answer(const channel::BadFileReport& bad) {
    json item = {{"file", bad.file}, {"message", bad.message}};
    if (!bad.action.empty()) item["action"] = bad.action;
    return report(bad.request, "bad", std::move(item));
}

bool Connection::answer(const channel::JobReport& job) {
    json item = {{"job", job.job},
                 {"action", job.action},
                 {"uid", job.uid},
                 {"pid", job.pid},
                 {"createdAt", job.created_usec}};
    if (!job.unit.empty()) item["unit"] = job.unit;
    return report(job.request, "jobs", std::move(item));
}

bool Connection::answer(const channel::Managed& managed) {
    UnderWay* call = under_way(managed.request, Waiting::manage);
    if (call == nullptr) return false;
    if (managed.done) {
        if (call->report.contains("actions")) call->report["actions"] = managed.actions;
        finish(*call, std::move(call->report));
        return true;
    }
    if (!call->oneway) {
        socket_.queue(protocol::encode_error("org.postern.Admin.Failed",
                                             {{"message", managed.message}}, call->terminator));
    }
    call_.reset();
    return true;
}

}  // namespace postern::session
