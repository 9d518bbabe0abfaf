#include "ctl/text/job_end.h"

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/utf8.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/text.h"

namespace postern::ctl {
namespace {

template <typename Number>
Result<std::optional<Number>> number_in(const nlohmann::json& result, const char* key,
                                        Number lowest, Number highest) {
    const auto found = result.find(key);
    if (found == result.end() || found->is_null()) return std::optional<Number>{};
    const auto number = integer_field(result, key);
    if (!number || *number < lowest || *number > highest) {
        return fail(std::string(key) + " of the job's result is not what it must be");
    }
    return std::optional<Number>{static_cast<Number>(*number)};
}

constexpr std::int64_t highest_offset = std::numeric_limits<std::int64_t>::max();

std::string reason_of_end(std::string_view action, std::string_view job, const JobEnd& end,
                          std::optional<long> time_seconds) {
    const auto name = printable(action) + ": ";
    const auto by_signal = end.signal ? " by signal " + signal_text(*end.signal) : std::string{};
    if (end.outcome == "exited") {
        if (end.exit_code) return {};
        return name + "ended; the daemon did not say how";
    }
    if (end.outcome == "signaled") return name + "ended" + by_signal;
    if (end.outcome == "timeout") {
        const auto after = time_seconds ? " after " + duration_text(*time_seconds) : std::string{};
        return name + "ended" + by_signal + ": timed out" + after;
    }
    if (end.outcome == "disconnected") {
        return name + "ended" + by_signal + ": the connection that started it was closed";
    }
    if (end.outcome == "out-of-memory") {
        return name + "ended" + by_signal + ": its memory was used up";
    }
    if (end.outcome == "stopped") return name + "ended" + by_signal + ": the daemon stopped";
    if (end.outcome == "lost") {
        return name + "what became of job " + printable(job) + " is not known: the daemon died";
    }
    return name + "ended in a way that this posternctl does not know: " + in_quotes(end.outcome);
}

}  // namespace

Result<std::optional<std::string>> canceller_in(const nlohmann::json& result) {
    const auto* const who = field(result, "cancelledBy");
    if (who == nullptr) return std::optional<std::string>{};
    const auto uid = integer_field(*who, "uid");
    if (!uid) return fail("cancelledBy of the job's result has no uid");
    const auto number = "uid " + std::to_string(*uid);
    const auto name = string_field(*who, "user");
    return std::optional<std::string>(name ? printable(*name) + " (" + number + ")" : number);
}

Result<JobEnd> decode_job_end(const nlohmann::json& result) {
    if (!result.is_object()) return fail("the job's result is not an object");
    const auto outcome = string_field(result, "outcome");
    if (!outcome) return fail("the job's result has no outcome");
    POSTERN_TRY(const auto code, number_in(result, "exitCode", 0, 255));
    POSTERN_TRY(const auto signal, number_in(result, "signal", 1, 64));
    POSTERN_TRY(const auto out,
                number_in<std::int64_t>(result, "stdoutLostFrom", 0, highest_offset));
    POSTERN_TRY(const auto err,
                number_in<std::int64_t>(result, "stderrLostFrom", 0, highest_offset));
    POSTERN_TRY(const auto ended,
                number_in<std::int64_t>(result, "endedProcesses", 0, highest_offset));
    POSTERN_TRY(auto cancelled_by, canceller_in(result));
    return JobEnd{*outcome, code, signal, {out, err}, ended.value_or(0), std::move(cancelled_by)};
}

std::string signal_text(int signal) {
    const char* name = sigabbrev_np(signal);
    auto text = std::to_string(signal);
    if (name != nullptr) text += std::string(" (") + name + ")";
    return text;
}

std::string describe_ended_processes(std::string_view action, const JobEnd& end) {
    if (end.ended_processes == 0) return {};
    return printable(action) + ": " + std::to_string(end.ended_processes) +
           (end.ended_processes == 1 ? " background process was" : " background processes were") +
           " ended with the job";
}

std::string how_it_ended(const JobEnd& end) {
    if (end.signal) return "ended by signal " + signal_text(*end.signal);
    if (end.outcome == "exited" && end.exit_code) {
        return "exited with code " + std::to_string(*end.exit_code);
    }
    return "ended: " + in_quotes(end.outcome);
}

std::string describe_job_end(std::string_view action, std::string_view job, const JobEnd& end,
                             std::optional<long> time_seconds) {
    auto text = reason_of_end(action, job, end, time_seconds);
    if (!end.cancelled_by) return text;
    const bool is_the_reason = end.outcome == "exited" || end.outcome == "signaled";
    if (is_the_reason) text = printable(action) + ": " + how_it_ended(end);
    return text + (is_the_reason ? ": cancelled by " : "; cancelled by ") + *end.cancelled_by;
}

}  // namespace postern::ctl
