// Between the typed values of model/ and the JSON of the interfaces.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/action.h"
#include "model/argument.h"
#include "model/call.h"
#include "model/job.h"

namespace postern::session {

// `object`: the "arguments" of a call. Never fails: what no argument can be becomes Unsupported,
// and it is the guard that says so, after it has decided whether the action is granted at all.
Arguments arguments_from_json(const nlohmann::json& object);

nlohmann::json summary_json(const ActionDescription& action);  // type Summary
nlohmann::json action_json(const ActionDescription& action);   // type Action
nlohmann::json result_json(const JobResult& result);           // type Result
nlohmann::json job_json(const JobView& job);                   // type Job
nlohmann::json jobs_json(const std::vector<JobView>& jobs);    // []Job

// Absent: no state is called so.
std::optional<JobState> state_from_json(const nlohmann::json& value);

// The error that a refusal is to the client, by its full name, and its parameters. `action`: of the
// call that is refused.
nlohmann::json refusal_json(const Refused& refused, const std::string& action);
std::string_view refusal_error(Refusal refusal);

}  // namespace postern::session
