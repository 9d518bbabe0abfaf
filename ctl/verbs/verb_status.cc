#include <nlohmann/json.hpp>

#include "base/counted.h"
#include "ctl/text/field_text.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/text.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

std::string count_of(std::int64_t count, const char* one, const char* many) {
    return std::to_string(count) + ' ' + (count == 1 ? one : many);
}

std::string sockets_text(const nlohmann::json& reply) {
    std::string text;
    for (const auto& socket : array_field(reply, "sockets")) {
        text += (text.empty() ? "" : ", ") + text_of(socket, "path");
        if (flag_field(socket, "administrator")) text += " (administrator)";
        if (string_field(socket, "kind") == "datagram") text += " (datagram)";
    }
    return text;
}

void add_callers(const nlohmann::json& reply,
                 std::vector<std::pair<std::string, std::string>>& rows) {
    for (const auto& caller : array_field(reply, "callers")) {
        std::string text = user_of(caller) + ", gid " + std::to_string(number_of(caller, "gid"));
        if (string_field(caller, "unit")) text += ", unit " + text_of(caller, "unit");
        text += ": " + count_of(number_of(caller, "connections"), "connection", "connections") +
                ", session " + std::to_string(number_of(caller, "session"));
        rows.emplace_back("caller", text);
    }
}

int run_status(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation.target, "org.postern.Admin.Status", nullptr);
    if (!reply) return reply.error().code;
    if (invocation.target.json) return finish_json(*reply);
    std::vector<std::pair<std::string, std::string>> rows = {
        {"version", text_of(*reply, "version")},
        {"pid", std::to_string(number_of(*reply, "pid")) + ", running for " +
                    time_since(number_of(*reply, "startedAt"))},
        {"sockets", sockets_text(*reply)},
        {"jobs", std::to_string(number_of(*reply, "jobs")) + ", supervised by " +
                     text_of(*reply, "supervision")},
        {"log level", text_of(*reply, "logLevel")},
        {"actions", std::to_string(number_of(*reply, "actions")) + " loaded, " +
                        counted_is(array_field(*reply, "bad").size(), "file") + " bad"},
    };
    if (string_field(*reply, "diskFull")) {
        rows.emplace_back("disk full", text_of(*reply, "diskFull"));
    }
    if (string_field(*reply, "recordProblem")) {
        rows.emplace_back("records", text_of(*reply, "recordProblem"));
    }
    if (string_field(*reply, "outputProblem")) {
        rows.emplace_back("output", text_of(*reply, "outputProblem"));
    }
    for (const auto& problem : array_field(*reply, "problems")) {
        rows.emplace_back("problem", text_of(problem, "message"));
    }
    add_callers(*reply, rows);
    for (const auto& file : array_field(*reply, "bad")) {
        rows.emplace_back("not loaded", text_of(file, "message"));
    }
    for (const auto& warning : array_field(*reply, "warnings")) {
        rows.emplace_back("warning", text_of(warning, "message"));
    }
    return finish(two_columns(rows, 0));
}

}  // namespace

constinit const Verb verb_status{
    .name = "status",
    .synopsis = "",
    .summary = "for the administrator: show the state of the daemon",
    .help =
        R"(Shows the version, the sockets, callers with their sessions and connections, jobs, loaded
actions, and files that are not loaded, with the reason. Problems are shown as well: that the disk
is full, why records of jobs can't be written, why the output of jobs is not moved out of their
pipes, and what the daemon needs that was removed (the file of a socket, the state directory, the
audit file), with what to do.

Examples:
  posternctl status
  posternctl status --json
)",
    .asks = Asks::administrator,
    .run = run_status,
};

}  // namespace postern::ctl
