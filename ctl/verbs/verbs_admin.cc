// The administrator's verbs: status, reload, log-level, jobs.
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "ctl/text/accounts.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/text/text.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

constexpr std::int64_t usec_per_second = 1'000'000;

std::string text_of(const nlohmann::json& object, const char* key) {
    return printable(string_field(object, key).value_or("?"));
}

std::int64_t number_of(const nlohmann::json& object, const char* key) {
    return integer_field(object, key).value_or(0);
}

std::string user_of(const nlohmann::json& object) {
    const auto uid = integer_field(object, "uid");
    if (!uid || *uid < 0 || *uid > UINT32_MAX) return "?";
    return user_text(static_cast<std::uint32_t>(*uid));
}

// "5min", since a wall clock time in microseconds.
std::string since(std::int64_t usec) {
    const std::int64_t seconds = std::time(nullptr) - usec / usec_per_second;
    return duration_text(seconds > 0 ? static_cast<long>(seconds) : 0);
}

std::string count_of(std::int64_t count, const char* one, const char* many) {
    return std::to_string(count) + ' ' + (count == 1 ? one : many);
}

// One line for each on standard error, as every complaint. Returns how many there are.
std::size_t complain_of_bad(const nlohmann::json& reply) {
    const auto& bad = array_field(reply, "bad");
    for (const auto& file : bad) complain("not in force: " + text_of(file, "message"));
    return bad.size();
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

}  // namespace

int run_status(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation.target, "org.postern.Admin.Status", nullptr);
    if (!reply) return reply.error().code;
    if (invocation.target.json) return finish_json(*reply);
    std::vector<std::pair<std::string, std::string>> rows = {
        {"version", text_of(*reply, "version")},
        {"pid", std::to_string(number_of(*reply, "pid")) + ", for " +
                    since(number_of(*reply, "startedAt"))},
        {"sockets", sockets_text(*reply)},
        {"jobs", std::to_string(number_of(*reply, "jobs")) + ", held together by " +
                     text_of(*reply, "supervision")},
        {"log level", text_of(*reply, "logLevel")},
        {"actions", std::to_string(number_of(*reply, "actions")) + " in force, " +
                        std::to_string(array_field(*reply, "bad").size()) + " files bad"},
    };
    add_callers(*reply, rows);
    for (const auto& file : array_field(*reply, "bad")) {
        rows.emplace_back("not in force", text_of(file, "message"));
    }
    return finish(two_columns(rows, 0));
}

int run_reload(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation.target, "org.postern.Admin.Reload", nullptr);
    if (!reply) return reply.error().code;
    const bool good = array_field(*reply, "bad").empty();
    int printed = exit_code::success;
    if (invocation.target.json) {
        printed = finish_json(*reply);
    } else {
        complain_of_bad(*reply);
        printed = finish(std::to_string(number_of(*reply, "actions")) + " actions in force, " +
                         std::to_string(array_field(*reply, "bad").size()) + " files bad\n");
    }
    return printed == exit_code::success && !good ? 1 : printed;
}

int run_log_level(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation.target, "org.postern.Admin.SetLogLevel",
                           {{"level", invocation.words.front()}});
    if (!reply) return reply.error().code;
    return invocation.target.json ? finish_json(*reply) : exit_code::success;
}

int run_jobs(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const auto reply = ask(*connection, invocation.target, "org.postern.Admin.Jobs", nullptr);
    if (!reply) return reply.error().code;
    if (invocation.target.json) return finish_json(*reply);
    std::vector<std::pair<std::string, std::string>> rows;
    for (const auto& job : array_field(*reply, "jobs")) {
        rows.emplace_back(text_of(job, "job"), text_of(job, "action") + ", for " +
                                                   since(number_of(job, "createdAt")) + ", by " +
                                                   user_of(job) + " pid " +
                                                   std::to_string(number_of(job, "pid")));
    }
    if (rows.empty()) complain("no job runs");
    return finish(two_columns(rows, 0));
}

}  // namespace postern::ctl
