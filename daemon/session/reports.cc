#include "daemon/session/reports.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace postern::session {

using nlohmann::json;

namespace {

struct TakeReport {
    json& reply;

    [[nodiscard]] Taken add(const char* list, json item) const {
        const auto items = reply.find(list);
        if (items == reply.end() || !items->is_array()) return NotAwaited{};
        items->push_back(std::move(item));
        return Unfinished{};
    }

    Taken operator()(const StatusReport& status) const {
        if (!reply.contains("sockets")) return NotAwaited{};
        reply.update({{"version", status.guard_version},
                      {"pid", status.pid},
                      {"startedAt", usec_of(status.started)},
                      {"logLevel", status.log_level},
                      {"supervision", status.supervision},
                      {"jobs", status.jobs}});
        if (!status.record_problem.empty()) reply["recordProblem"] = status.record_problem;
        if (!status.output_problem.empty()) reply["outputProblem"] = status.output_problem;
        if (!status.disk_full.empty()) reply["diskFull"] = status.disk_full;
        return Unfinished{};
    }
    Taken operator()(const SocketReport& socket) const {
        return add("sockets", {{"path", socket.path},
                               {"kind", socket.datagram ? "datagram" : "stream"},
                               {"administrator", socket.administrator}});
    }
    Taken operator()(const CallerReport& caller) const {
        json item = {{"uid", caller.uid},
                     {"gid", caller.gid},
                     {"session", caller.session_pid},
                     {"connections", caller.connections}};
        if (!caller.unit.empty()) item["unit"] = caller.unit;
        return add("callers", std::move(item));
    }
    Taken operator()(const BadFileReport& bad) const {
        json item = {{"file", bad.file}, {"message", bad.message}};
        if (!bad.action.empty()) item["action"] = bad.action;
        return add("bad", std::move(item));
    }
    Taken operator()(const WarningReport& warning) const {
        json item = {{"message", warning.message}};
        if (!warning.action.empty()) item["action"] = warning.action;
        return add("warnings", std::move(item));
    }
    Taken operator()(const ProblemReport& problem) const {
        return add("problems", {{"about", problem.about}, {"message", problem.message}});
    }
    Taken operator()(const JobReport& job) const {
        json item = {{"job", job.job.text()},
                     {"action", job.action},
                     {"uid", job.uid},
                     {"pid", job.pid},
                     {"createdAt", usec_of(job.created)}};
        if (!job.unit.empty()) item["unit"] = job.unit;
        return add("jobs", std::move(item));
    }
    Taken operator()(const Managed& managed) const {
        if (!managed.done) {
            return Rejected{"org.postern.Admin.Failed", {{"message", managed.message}}};
        }
        if (reply.contains("actions")) reply["actions"] = managed.actions;
        return Answered{std::move(reply)};
    }
    Taken operator()(const auto& /*answer*/) const { return NotAwaited{}; }
};

}  // namespace

json empty_report(Management what) {
    switch (what) {
        case Management::status:
            return {{"sockets", json::array()},
                    {"callers", json::array()},
                    {"actions", 0},
                    {"bad", json::array()},
                    {"warnings", json::array()},
                    {"problems", json::array()}};
        case Management::reload:
            return {{"actions", 0},
                    {"bad", json::array()},
                    {"warnings", json::array()},
                    {"problems", json::array()}};
        case Management::jobs:
            return {{"jobs", json::array()}};
        case Management::log_level:
            break;
    }
    return json::object();
}

Taken take_report(json& reply, const CallAnswer& answer) {
    return std::visit(TakeReport{reply}, answer);
}

}  // namespace postern::session
