#include "daemon/jobs/direct/launch.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

#include "daemon/jobs/direct/proc.h"
#include "daemon/launcher/order.h"

namespace postern::jobs {
namespace {

// Above all that the launcher finds: dup2 to one never hits the source of another, however low the
// guard's own descriptors are (it may have been started without 0, 1 and 2).
constexpr int lowest_source = 10;
static_assert(lowest_source > launcher::cgroup_fd);

Unexpected<Error> failed(const char* what, int error) {
    return fail(std::string(what) + ": " + std::strerror(error));
}

// What posix_spawn(3) is told.
class SpawnPlan {
  public:
    SpawnPlan() {
        posix_spawn_file_actions_init(&actions_);
        posix_spawnattr_init(&attributes_);
        sigset_t all;
        sigset_t none;
        sigfillset(&all);
        sigemptyset(&none);
        posix_spawnattr_setsigdefault(&attributes_, &all);
        posix_spawnattr_setsigmask(&attributes_, &none);
        posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    }
    ~SpawnPlan() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;

    // Returns 0 or errno.
    int give(int fd, int as) {
        UniqueFd source(fcntl(fd, F_DUPFD_CLOEXEC, lowest_source));
        if (!source) return errno;
        const int error = posix_spawn_file_actions_adddup2(&actions_, source.get(), as);
        sources_.push_back(std::move(source));
        return error;
    }

    int spawn(int program, pid_t& pid) {
        const UniqueFd source(fcntl(program, F_DUPFD_CLOEXEC, lowest_source));
        if (!source) return errno;
        const std::string path = "/proc/self/fd/" + std::to_string(source.get());
        // Nothing of a job's is in our arguments or environment: others may read those.
        std::array<char, 17> name{"postern-launcher"};
        std::array<char*, 2> arguments{name.data(), nullptr};
        std::array<char*, 1> no_environment{nullptr};
        return posix_spawn(&pid, path.c_str(), &actions_, &attributes_, arguments.data(),
                           no_environment.data());
    }

  private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
    std::vector<UniqueFd> sources_;
};

}  // namespace

Result<Launched> launch(const LaunchFiles& files) {
    std::array<int, 2> pair{-1, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) < 0) {
        return failed("socketpair", errno);
    }
    Launched launched;
    launched.control.reset(pair[0]);
    const UniqueFd other_end(pair[1]);
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) return failed("control socket", errno);

    SpawnPlan plan;
    const std::array<std::pair<int, int>, 7> given = {{
        {files.stdin_file, STDIN_FILENO},
        {files.stdout_file, STDOUT_FILENO},
        {files.stderr_file, STDERR_FILENO},
        {other_end.get(), launcher::control_fd},
        {files.order, launcher::order_fd},
        {files.program, launcher::program_fd},
        {files.cgroup_procs, launcher::cgroup_fd},
    }};
    for (const auto& [fd, as] : given) {
        if (fd < 0 && as == launcher::cgroup_fd) continue;
        if (const int error = plan.give(fd, as); error != 0) return failed("descriptors", error);
    }
    if (const int error = plan.spawn(files.launcher, launched.pid); error != 0) {
        return failed("postern-launcher", error);
    }
    launched.process = open_process(launched.pid);
    if (!launched.process) {
        const int error = errno;
        kill(launched.pid, SIGKILL);
        // It has no more to do than to die.
        while (waitpid(launched.pid, nullptr, 0) < 0 && errno == EINTR) {
        }
        return failed("pidfd_open", error);
    }
    return launched;
}

}  // namespace postern::jobs
