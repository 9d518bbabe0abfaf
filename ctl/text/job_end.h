// How a job ended, as the last reply of Run says it.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern::ctl {

// The wire's type Result, as far as posternctl needs it.
struct JobEnd {
    std::string outcome;
    std::optional<int> exit_code;  // 0 to 255
    std::optional<int> signal;     // 1 to 64
    // Of stdout and stderr: the daemon could not keep what came from this byte on.
    std::array<std::optional<std::int64_t>, 2> lost_from{};
    // Processes that it left in the background, and that were ended with it.
    std::int64_t ended_processes = 0;
    // "alice (uid 1000)"
    std::optional<std::string> cancelled_by = std::nullopt;
};

// Who has cancelled it, in words; absent: nobody.
Result<std::optional<std::string>> canceller_in(const nlohmann::json& result);

// The error says which field is not what the interface promises.
Result<JobEnd> decode_job_end(const nlohmann::json& result);

// One line for the user, without the program's name in front. Empty for a job that exited by
// itself, and that nobody has cancelled: its exit code says all. `time_seconds`: the action's
// timeout, where it is known.
std::string describe_job_end(std::string_view action, std::string_view job, const JobEnd& end,
                             std::optional<long> time_seconds);

// What became of its process, in a few words: "exited with code 3", "ended by signal 15 (TERM)".
std::string how_it_ended(const JobEnd& end);

// The same of what it left in the background. Empty: nothing was ended with it.
std::string describe_ended_processes(std::string_view action, const JobEnd& end);

// "15 (TERM)"; "34" where the signal has no name.
std::string signal_text(int signal);

}  // namespace postern::ctl
