#include "daemon/guard/sessions/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

Result<pid_t> spawn_program(int program, const std::vector<std::string>& arguments, int channel) {
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

}  // namespace

Result<UniqueFd> open_helper(const std::string& name) {
    const std::string beside = own_folder() + "/" + name;
    if (UniqueFd program = open_program(beside)) return program;
    const std::string installed = std::string(libexec_directory) + "/" + name;
    if (UniqueFd program = open_program(installed)) return program;
    return fail("program " + name + ": neither " + beside + " nor " + installed +
                " can be opened: " + std::strerror(errno) + "; install the package again");
}

Result<std::unique_ptr<Child>> Child::spawn(sd_event* event, int program,
                                            const std::vector<std::string>& arguments, int channel,
                                            std::uint64_t descriptors,
                                            std::function<void(const std::string&)> exited) {
    POSTERN_TRY(const pid_t pid, spawn_program(program, arguments, channel));
    auto child = std::make_unique<Child>(pid, std::move(exited));
    // Not reaped yet, so the number is still this child's.
    child->pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    int r = -errno;
    if (child->pidfd_) {
        r = add_io(event, child->source_, child->pidfd_.get(), EPOLLIN,
                   [self = child.get()](std::uint32_t) { self->on_exit(); });
    }
    if (r < 0) {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        child->reaped_ = true;
        return fail(arguments.front() + ": " + std::strerror(-r));
    }
    const rlimit most{descriptors, descriptors};
    (void)::prlimit(pid, RLIMIT_NOFILE, &most, nullptr);
    return child;
}

Child::~Child() {
    if (!reaped_) kill();
}

void Child::kill() const {
    // pidfd_send_signal(2), Linux 5.1; glibc 2.36 has no wrapper.
    (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

void Child::on_exit() {
    source_.reset();
    int status = 0;
    pid_t reaped = 0;
    do {
        reaped = ::waitpid(pid_, &status, 0);
    } while (reaped < 0 && errno == EINTR);
    reaped_ = true;
    std::string how = "its process ended with exit code " + std::to_string(WEXITSTATUS(status));
    if (WIFSIGNALED(status)) {
        how = "its process died of signal " + std::to_string(WTERMSIG(status));
    }
    const auto exited = std::move(exited_);  // may let this go
    exited(how);
}

}  // namespace postern
