#include "daemon/jobs/job_command.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "host/memory_file.h"
#include "host/safe_program.h"

namespace postern::jobs {
namespace {

std::string told_of(const OpenError& error) {
    if (!error.told.empty()) return error.told;
    switch (error.kind) {
        case OpenError::Kind::missing:
            return "it does not exist";
        case OpenError::Kind::failed:
            return "it can't be opened";
        case OpenError::Kind::unsafe:
            break;
    }
    return "others than its owner could change it";
}

}  // namespace

std::vector<std::string> environment_of(const policy::Action& action, const Record& record) {
    std::vector<std::pair<std::string, std::string>> variables;
    for (const auto& variable : action.environment) {
        if (!policy::is_set_by_guard(variable.first, action.sudo_compatible)) {
            variables.push_back(variable);
        }
    }
    variables.emplace_back("POSTERN_ACTION", action.description.name);
    variables.emplace_back("POSTERN_JOB", record.job.text());
    const auto add_caller = [&](const std::string& prefix) {
        variables.emplace_back(prefix + "UID", std::to_string(record.requester.uid));
        variables.emplace_back(prefix + "GID", std::to_string(record.requester.gid));
        const std::string& user = record.requester.user;
        if (!user.empty()) variables.emplace_back(prefix + "USER", user);
    };
    add_caller("POSTERN_");
    if (action.sudo_compatible) add_caller("SUDO_");
    std::ranges::sort(variables);
    std::vector<std::string> texts;
    texts.reserve(variables.size());
    for (const auto& [name, text] : variables) {
        texts.emplace_back(name).append("=").append(text);
    }
    return texts;
}

Result<UniqueFd, StartFailure> program_of(const policy::Action& action) {
    const auto path =
        std::ranges::find(action.environment, "PATH", &std::pair<std::string, std::string>::first);
    auto opened = open_safe_program(action.program, geteuid(),
                                    path == action.environment.end() ? "" : path->second);
    if (opened) return std::move(opened).value();
    return Unexpected(
        StartFailure{std::string(StartFailure::cannot) + ": " + told_of(opened.error()),
                     opened.error().message});
}

Result<UniqueFd> stdin_of(const policy::Command& command, int pipe_end) {
    if (pipe_end >= 0) {
        UniqueFd copy = duplicate(pipe_end);
        if (!copy) return fail(std::string("standard input: ") + std::strerror(errno));
        return copy;
    }
    if (!command.stdin_text) return null_file();
    const std::string& text = *command.stdin_text;
    return sealed_file("postern-stdin",
                       {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

std::size_t error_stream(const policy::Action& action) {
    return action.merge_stderr ? 0 : 1;
}

}  // namespace postern::jobs
