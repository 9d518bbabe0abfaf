// A service to be started for a job, but for what is the same for all jobs.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "daemon/jobs/record/record.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/unit_property.h"

namespace postern::jobs {

// Descriptors stay the caller's.
struct UnitSpec {
    std::string name;
    std::string description;
    std::string program;
    std::vector<std::string> argv;
    std::vector<std::string> environment;  // NAME=text
    std::string working_directory;         // empty: the manager's own
    std::string user;                      // empty: the manager's own
    std::string group;                     // empty: the user's own
    std::vector<std::string> groups;
    std::chrono::microseconds timeout{};     // 0: none
    std::chrono::microseconds kill_grace{};  // between TERM and KILL
    int stdin_file = -1;
    int stdout_file = -1;
    int stderr_file = -1;
    std::vector<policy::UnitProperty> sandbox;
};

// All but the descriptors and the time between TERM and KILL.
UnitSpec unit_spec(const policy::Action& action, const policy::Command& command,
                   const Record& record);

}  // namespace postern::jobs
