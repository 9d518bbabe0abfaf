#include "ctl/text/job_text.h"

#include <chrono>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/duration.h"
#include "base/utf8.h"
#include "ctl/text/accounts.h"
#include "ctl/text/field_text.h"
#include "ctl/text/job_end.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/point_in_time.h"
#include "ctl/text/text.h"

namespace postern::ctl {
namespace {

constexpr std::int64_t usec_of_a_second = 1'000'000;

using Rows = std::vector<std::pair<std::string, std::string>>;

std::string seconds_text(std::int64_t usec) {
    return duration_text(usec > 0 ? static_cast<long>(usec / usec_of_a_second) : 0);
}

// One that was cancelled before it began has one that says who did that, and nothing of its end.
const nlohmann::json* result_in(const nlohmann::json& job) {
    return string_field(job, "state") == "failed" ? nullptr : field(job, "result");
}

// To the millisecond.
std::string exact_text(std::int64_t usec) {
    constexpr std::int64_t usec_of_a_millisecond = 1000;
    if (usec > usec_of_a_millisecond) usec -= usec % usec_of_a_millisecond;
    return show_duration(std::chrono::microseconds(usec > 0 ? usec : 0));
}

// It ended while no daemon was there, and was found to have ended: when is not known.
bool is_lost(const nlohmann::json& result) {
    return string_field(result, "outcome") == "lost";
}

// How it ended, in one or two words; several where they are the daemon's own.
std::string result_text(const nlohmann::json& result) {
    std::string outcome = text_of(result, "outcome");
    const auto exit_code = integer_field(result, "exitCode");
    const auto signal = integer_field(result, "signal");
    if (outcome == "exited" && exit_code) return "exit " + std::to_string(*exit_code);
    if (outcome == "signaled" && signal && *signal > 0 && *signal <= 64) {
        return "signal " + signal_text(static_cast<int>(*signal));
    }
    return outcome;
}

// A list as JSON.
std::string argument_text(const nlohmann::json& value) {
    if (value.is_string()) return printable(value.get_ref<const std::string&>());
    return value.is_array() ? safe_json(value) : "?";
}

void add_who(const nlohmann::json& job, Rows& rows) {
    if (!integer_field(job, "uid")) return;
    std::string who = user_of(job);
    // The name is of when it was started.
    if (string_field(job, "user") && who.find('(') == std::string::npos) {
        who += " (" + text_of(job, "user") + ")";
    }
    const auto gid = integer_field(job, "gid");
    if (gid && *gid >= 0 && *gid <= std::numeric_limits<std::uint32_t>::max()) {
        who += ", group " + group_text(static_cast<std::uint32_t>(*gid));
    }
    rows.emplace_back("user", who);
    if (integer_field(job, "pid"))
        rows.emplace_back("process", std::to_string(number_of(job, "pid")));
    if (string_field(job, "callerUnit")) rows.emplace_back("unit", text_of(job, "callerUnit"));
    if (string_field(job, "listener")) rows.emplace_back("socket", text_of(job, "listener"));
    if (!string_field(job, "rule")) return;
    const std::string place =
        string_field(job, "rulePlace") ? " (" + text_of(job, "rulePlace") + ")" : "";
    rows.emplace_back("rule", text_of(job, "rule") + place);
}

void add_result(const nlohmann::json& result, Rows& rows) {
    const std::int64_t started = number_of(result, "startedAt");
    const std::int64_t ended = number_of(result, "endedAt");
    // One that is lost may never have run.
    if (started > 0) rows.emplace_back("started", point_in_time_text(started));
    std::string end = (is_lost(result) ? "at the latest " : "") + point_in_time_text(ended);
    if (started > 0 && ended >= started && !is_lost(result)) {
        end += ", after " + exact_text(ended - started);
    }
    rows.emplace_back("ended", end);
    if (const auto count = integer_field(result, "endedProcesses"); count && *count > 0) {
        rows.emplace_back("left behind",
                          std::to_string(*count) + (*count == 1 ? " process, ended with it"
                                                                : " processes, ended with it"));
    }
    const std::int64_t cpu = number_of(result, "cpuMicroseconds");
    if (cpu > 0) rows.emplace_back("processor time", exact_text(cpu));
    const std::int64_t memory = number_of(result, "maxResidentKiB");
    if (memory > 0) rows.emplace_back("peak memory", std::to_string(memory) + " KiB");
}

void add_output(const nlohmann::json& job, Rows& rows) {
    struct Stream {
        const char* name;
        const char* written;
        const char* stored;
        const char* lost_from;
    };
    constexpr Stream streams[] = {{"stdout", "stdoutBytes", "stdoutStored", "stdoutLostFrom"},
                                  {"stderr", "stderrBytes", "stderrStored", "stderrLostFrom"}};
    const auto* result = field(job, "result");
    for (const Stream& stream : streams) {
        const auto written = integer_field(job, stream.written);
        if (!written) continue;
        const std::int64_t stored = number_of(job, stream.stored);
        std::string text = std::to_string(*written) + (*written == 1 ? " byte" : " bytes");
        if (stored != *written) text += ", " + std::to_string(stored) + " of them still stored";
        const auto lost =
            result == nullptr ? std::nullopt : integer_field(*result, stream.lost_from);
        if (lost) text += ", lost from byte " + std::to_string(*lost) + " on";
        rows.emplace_back(stream.name, text);
    }
}

}  // namespace

std::string job_state_text(const nlohmann::json& job) {
    const auto* result = result_in(job);
    return result == nullptr ? text_of(job, "state") : result_text(*result);
}

bool job_has_failed(const nlohmann::json& job) {
    const auto state = string_field(job, "state");
    if (state == "failed") return true;
    const auto* const result = field(job, "result");
    if (state != "ended" || result == nullptr) return false;
    return string_field(*result, "outcome") != "exited" || integer_field(*result, "exitCode") != 0;
}

nlohmann::json known_of_job(nlohmann::json job) {
    if (!job.is_object() || !job.contains("result") || !job["result"].is_object()) return job;
    auto& result = job["result"];
    if (number_of(result, "maxResidentKiB") == 0) result.erase("maxResidentKiB");
    if (number_of(result, "startedAt") == 0) result.erase("startedAt");
    return job;
}

std::string job_time_text(const nlohmann::json& job) {
    if (const auto* result = result_in(job)) {
        const std::int64_t started = number_of(*result, "startedAt");
        if (started == 0 || is_lost(*result)) return "-";
        return seconds_text(number_of(*result, "endedAt") - started);
    }
    const auto state = string_field(job, "state");
    return state == "failed" ? "-" : time_since(number_of(job, "createdAt"));
}

Rows job_rows(const nlohmann::json& job) {
    Rows rows = {{"job", text_of(job, "job")}, {"action", text_of(job, "action")}};
    std::string state = job_state_text(job);
    if (string_field(job, "message")) state += ": " + text_of(job, "message");
    rows.emplace_back("state", state);
    if (const auto* result = field(job, "result")) {
        std::optional<std::string> who;
        if (auto found = canceller_in(*result)) who = std::move(*found);
        if (who) rows.emplace_back("cancelled by", *who);
    }
    if (const auto* arguments = field(job, "arguments"); arguments && arguments->is_object()) {
        for (const auto& [name, value] : arguments->items()) {
            rows.emplace_back("argument", printable(name) + "=" + argument_text(value));
        }
    }
    add_who(job, rows);
    rows.emplace_back("created", point_in_time_text(number_of(job, "createdAt")));
    if (const auto* result = result_in(job)) add_result(*result, rows);
    add_output(job, rows);
    return rows;
}

}  // namespace postern::ctl
