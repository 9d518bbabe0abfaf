#include "daemon/jobs/job_start.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/launcher/order.h"
#include "host/memory_file.h"
#include "host/safe_file.h"

namespace postern::jobs {
namespace {

// The whole environment of a job, sorted by name.
std::vector<std::string> environment_of(const policy::Action& action, const std::string& job,
                                        const Requester& requester) {
    std::vector<std::pair<std::string, std::string>> variables;
    for (const auto& variable : action.environment) {
        if (!variable.first.starts_with("POSTERN_")) variables.push_back(variable);
    }
    variables.emplace_back("POSTERN_ACTION", action.description.name);
    variables.emplace_back("POSTERN_JOB", job);
    variables.emplace_back("POSTERN_UID", std::to_string(requester.uid));
    variables.emplace_back("POSTERN_GID", std::to_string(requester.gid));
    std::ranges::sort(variables);
    std::vector<std::string> texts;
    texts.reserve(variables.size());
    for (const auto& [name, text] : variables) {
        texts.emplace_back(name).append("=").append(text);
    }
    return texts;
}

std::vector<std::string> texts_of(const std::vector<gid_t>& groups, gid_t but) {
    std::vector<std::string> texts;
    for (const gid_t group : groups) {
        if (group != but) texts.push_back(std::to_string(group));
    }
    return texts;
}

}  // namespace

Result<UniqueFd> stdin_of(const policy::Command& command) {
    if (!command.stdin_text) return null_file();
    const std::string& text = *command.stdin_text;
    return sealed_file("postern-stdin",
                       {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

std::size_t error_stream(const policy::Action& action) {
    return action.merge_stderr ? 0 : 1;
}

UnitSpec unit_spec(const policy::Action& action, const policy::Command& command,
                   const Record& record) {
    UnitSpec spec;
    spec.name = record.unit;
    spec.description = "Postern job of " + action.description.name;
    spec.program = action.program;
    spec.argv = command.argv;
    spec.environment = environment_of(action, record.job, record.requester);
    spec.working_directory = action.working_directory;
    spec.timeout_usec = action.description.timeout_usec;
    spec.sandbox = action.sandbox;
    // A user's own manager runs everything as that user.
    if (geteuid() != 0) return spec;
    // By number: they are the ones that were looked up when the file was loaded.
    if (action.uid != 0) spec.user = std::to_string(action.uid);
    if (action.uid != 0 || action.gid != 0) spec.group = std::to_string(action.gid);
    spec.groups = texts_of(action.groups, action.gid);
    return spec;
}

Result<Launched> launch_job(const Settings& settings, const policy::Action& action,
                            const policy::Command& command, const Record& record,
                            const JobFiles& files) {
    const auto program = open_safe(action.program, geteuid(), Use::execute);
    if (!program) return fail(program.error().message);
    launcher::Order order;
    order.uid = action.uid;
    order.gid = action.gid;
    order.groups.assign(action.groups.begin(), action.groups.end());
    order.join_cgroup = !record.cgroup.empty();
    order.open_files = settings.job_open_files;
    order.program = action.program;
    order.working_directory = action.working_directory;
    order.argv = command.argv;
    order.environment = environment_of(action, record.job, record.requester);
    POSTERN_TRY(const std::vector<std::uint8_t> bytes, launcher::encode(order));
    POSTERN_TRY(const UniqueFd order_file, sealed_file("postern-order", bytes));
    POSTERN_TRY(const UniqueFd stdin_file, stdin_of(command));
    UniqueFd procs;
    if (order.join_cgroup) {
        procs.reset(open((record.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
        if (!procs) return fail(record.cgroup + "/cgroup.procs: " + std::strerror(errno));
    }
    return launch({settings.launcher.get(), stdin_file.get(), files.output[0].fd(),
                   files.output[error_stream(action)].fd(), order_file.get(), program->get(),
                   procs.get()});
}

}  // namespace postern::jobs
