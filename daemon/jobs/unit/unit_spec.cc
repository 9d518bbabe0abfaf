#include "daemon/jobs/unit/unit_spec.h"

#include <unistd.h>

#include "daemon/jobs/job_command.h"

namespace postern::jobs {
namespace {

std::vector<std::string> texts_of(const std::vector<gid_t>& groups, gid_t but) {
    std::vector<std::string> texts;
    for (const gid_t group : groups) {
        if (group != but) texts.push_back(std::to_string(group));
    }
    return texts;
}

}  // namespace

UnitSpec unit_spec(const policy::Action& action, const policy::Command& command,
                   const Record& record) {
    UnitSpec spec;
    spec.name = record.unit;
    spec.description = "Postern job of " + action.description.name;
    spec.program = action.program;
    spec.argv = command.argv;
    spec.environment = environment_of(action, record);
    spec.working_directory = action.working_directory;
    spec.timeout = action.description.timeout;
    spec.sandbox = action.sandbox;
    // A user's own manager runs everything as that user.
    if (geteuid() != 0) return spec;
    // By number: they are the ones that were looked up when the file was loaded. The user by name
    // only where systemd would find another account of that number, and give the job its groups.
    if (action.uid != 0) {
        spec.user = action.account.empty() ? std::to_string(action.uid) : action.account;
    }
    if (action.uid != 0 || action.gid != 0) spec.group = std::to_string(action.gid);
    spec.groups = texts_of(action.groups, action.gid);
    return spec;
}

}  // namespace postern::jobs
