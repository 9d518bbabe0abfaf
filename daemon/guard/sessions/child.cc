#include "daemon/guard/sessions/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include "base/version.h"
#include "daemon/channel/messages.h"

namespace postern {
namespace {

constexpr int lowest_program_fd = 10;

std::string own_folder() {
    std::array<char, PATH_MAX> buffer{};
    const ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
    if (length <= 0) return {};
    const std::string path(buffer.data(), static_cast<std::size_t>(length));
    return path.substr(0, path.rfind('/'));
}

UniqueFd open_program(const std::string& path) {
    UniqueFd low(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!low) return {};
    return UniqueFd(::fcntl(low.get(), F_DUPFD_CLOEXEC, lowest_program_fd));
}

// Owns what posix_spawn(3) wants to be destroyed.
struct SpawnSetup {
    posix_spawn_file_actions_t actions{};
    posix_spawnattr_t attributes{};
    SpawnSetup() {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
    }
    ~SpawnSetup() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }
    SpawnSetup(const SpawnSetup&) = delete;
    SpawnSetup& operator=(const SpawnSetup&) = delete;
};

}  // namespace

Result<UniqueFd> open_helper(const std::string& name) {
    const std::string beside = own_folder() + "/" + name;
    if (UniqueFd program = open_program(beside)) return program;
    const std::string installed = std::string(libexec_directory) + "/" + name;
    if (UniqueFd program = open_program(installed)) return program;
    return fail("program " + name + ": neither " + beside + " nor " + installed +
                " can be opened: " + std::strerror(errno) + "; install the package again");
}

Result<pid_t> spawn_session(int program, const std::vector<std::string>& arguments, int channel) {
    SpawnSetup setup;
    sigset_t all;
    sigset_t none;
    sigfillset(&all);
    sigemptyset(&none);
    ::posix_spawnattr_setsigdefault(&setup.attributes, &all);
    ::posix_spawnattr_setsigmask(&setup.attributes, &none);
    ::posix_spawnattr_setflags(&setup.attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    ::posix_spawn_file_actions_addopen(&setup.actions, 0, "/dev/null", O_RDWR, 0);
    ::posix_spawn_file_actions_adddup2(&setup.actions, 0, 1);
#ifndef POSTERN_SANITIZED
    ::posix_spawn_file_actions_adddup2(&setup.actions, 0, 2);
#endif  // else a sanitizer's report must reach somebody
    ::posix_spawn_file_actions_adddup2(&setup.actions, channel, channel::session_fd);

    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (const std::string& argument : arguments) {
        argv.push_back(const_cast<char*>(argument.c_str()));  // posix_spawn only reads
    }
    argv.push_back(nullptr);
    std::array<char*, 1> no_environment{};
    const std::string path = "/proc/self/fd/" + std::to_string(program);
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, path.c_str(), &setup.actions, &setup.attributes,
                                    argv.data(), no_environment.data());
    if (error != 0) return fail(arguments.front() + ": " + std::strerror(error));
    return pid;
}

}  // namespace postern
