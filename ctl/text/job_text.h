// A job of the wire's type org.postern.Jobs.Job as words for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace postern::ctl {

// "running", "exit 0", "timeout": one or two words.
std::string job_state_text(const nlohmann::json& job);

// It could not be started, or has ended otherwise than by an exit with 0.
bool job_has_failed(const nlohmann::json& job);

// How long it took, or runs by now; "-" where it never ran, or nobody knows when it ended.
std::string job_time_text(const nlohmann::json& job);

// For programs: without what is not known.
nlohmann::json known_of_job(nlohmann::json job);

// All that is known of it: two columns.
std::vector<std::pair<std::string, std::string>> job_rows(const nlohmann::json& job);

}  // namespace postern::ctl
