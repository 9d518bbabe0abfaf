// A job of the wire's type org.postern.Jobs.Job as words for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace postern::ctl {

// "running", "exit 0", "timeout": one or two words.
std::string job_state_text(const nlohmann::json& job);

// How long it took, or runs by now; "-" where it never ran.
std::string job_time_text(const nlohmann::json& job);

// All that is known of it: two columns.
std::vector<std::pair<std::string, std::string>> job_rows(const nlohmann::json& job);

}  // namespace postern::ctl
