#include "daemon/jobs/direct/launch.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "base/control_data.h"
#include "base/limits.h"
#include "daemon/jobs/direct/proc.h"
#include "daemon/launcher/order.h"
#include "host/memory_file.h"

namespace postern::jobs {
namespace {

Unexpected<Error> failed(const char* what, int error) {
    return fail(std::string(what) + ": " + std::strerror(error));
}

void reap(pid_t pid) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
}

}  // namespace

Result<Launched> start_launcher(Spawner& spawner, int program) {
    std::array<int, 2> pair{-1, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) < 0) {
        return failed("socketpair", errno);
    }
    Launched launched;
    launched.control.reset(pair[0]);
    const UniqueFd other_end(pair[1]);
    // Nothing of a job's is in its arguments or environment: others may read those.
    POSTERN_TRY(
        launched.pid,
        spawner.spawn({program, {"postern-launcher"}, {{other_end.get(), launcher::control_fd}}}));
    launched.process = open_process(launched.pid);
    if (launched.process) {
        launched.start = stat_of(launched.pid).value_or(ProcessStat{}).start;
        return launched;
    }
    const int error = errno;
    kill(launched.pid, SIGKILL);
    reap(launched.pid);
    return failed("pidfd_open", error);
}

Status give_job(const Launched& launched, std::span<const std::uint8_t> order,
                const JobFiles& files) {
    std::uint8_t kind = 0;
    std::array<int, launcher::most_descriptors> descriptors{files.stdin_file, files.stdout_file,
                                                            files.stderr_file, files.program};
    std::size_t count = launcher::least_descriptors;
    if (files.cgroup_procs >= 0) {
        kind |= launcher::with_cgroup;
        descriptors[count++] = files.cgroup_procs;
    }
    UniqueFd order_file;
    if (order.size() > limits::launcher_order_bytes) {
        POSTERN_TRY(order_file, sealed_file("postern-order", order));
        kind |= launcher::order_in_file;
        descriptors[count++] = order_file.get();
        order = {};
    }
    std::array<iovec, 2> parts{
        {{&kind, sizeof kind}, {const_cast<std::uint8_t*>(order.data()), order.size()}}};
    DescriptorSpace<launcher::most_descriptors> space;
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    put_descriptors(message, space.bytes, std::span(descriptors).first(count));
    if (sendmsg(launched.control.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        return failed("launcher", errno);
    }
    return {};
}

void end_launcher(Launched launched) {
    signal_process(launched.process, SIGKILL);
    reap(launched.pid);
}

}  // namespace postern::jobs
