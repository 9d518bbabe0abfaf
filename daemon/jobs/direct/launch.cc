#include "daemon/jobs/direct/launch.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "daemon/jobs/direct/proc.h"
#include "daemon/launcher/order.h"

namespace postern::jobs {
namespace {

Unexpected<Error> failed(const char* what, int error) {
    return fail(std::string(what) + ": " + std::strerror(error));
}

}  // namespace

Result<Launched> launch(Spawner& spawner, const LaunchFiles& files) {
    std::array<int, 2> pair{-1, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) < 0) {
        return failed("socketpair", errno);
    }
    Launched launched;
    launched.control.reset(pair[0]);
    const UniqueFd other_end(pair[1]);
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) return failed("control socket", errno);

    // Nothing of a job's is in our arguments or environment: others may read those.
    Program program{files.launcher,
                    {"postern-launcher"},
                    {{files.stdin_file, STDIN_FILENO},
                     {files.stdout_file, STDOUT_FILENO},
                     {files.stderr_file, STDERR_FILENO},
                     {other_end.get(), launcher::control_fd},
                     {files.order, launcher::order_fd},
                     {files.program, launcher::program_fd}}};
    if (files.cgroup_procs >= 0) {
        program.descriptors.emplace_back(files.cgroup_procs, launcher::cgroup_fd);
    }
    POSTERN_TRY(launched.pid, spawner.spawn(program));
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
