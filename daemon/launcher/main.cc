// postern-launcher: waits for a job, becomes the user that it runs as, waits for the guard's word,
// and then becomes the job.
//
// The guard starts it as its own user, since whoever drops to the job's user before an exec lets
// that user stop the half-made child, and with it the guard that waits in vfork. Here, after the
// exec of our own program, only this one job can be held up. See order.h for what it is told.
//
// What is the same for every job is done before it is told of one: a job that finds a launcher
// waiting does not wait for that.
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>  // umask
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/launcher/exec_list.h"
#include "daemon/launcher/identity.h"
#include "daemon/launcher/order.h"
#include "daemon/launcher/receive_job.h"
#include "daemon/launcher/spare.h"
#include "daemon/launcher/spare_order.h"

namespace postern::launcher {
namespace {

[[noreturn]] void leave(const Report& report) {
    const ReportBytes bytes = encode(report);
    // Nobody is left to tell if it fails.
    while (send(control_fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
    _exit(1);
}

[[noreturn]] void leave(Stage stage, int error) {
    leave(Report{stage, error});
}

// What is open is none of the job's business, and its own get their numbers so.
void close_others() {
    if (close_range(0, control_fd - 1, 0) < 0 || close_range(control_fd + 1, UINT_MAX, 0) < 0) {
        leave(Stage::descriptors, errno);
    }
}

// posix_spawn(3) has reset the others, but leaves glibc's own two (32 and 33) ignored, and a job
// would inherit that. sigaction(3) refuses them: hence the system call, whose all-zero argument is
// SIG_DFL on every architecture.
void reset_signals() {
    const std::array<unsigned long, 8> by_default{};
    for (int number = 1; number < _NSIG; ++number) {
        // EINVAL for KILL and STOP, which have no disposition.
        syscall(SYS_rt_sigaction, number, by_default.data(), nullptr, _NSIG / CHAR_BIT);
    }
}

// A write of "0" moves the writer itself (Documentation/admin-guide/cgroup-v2.rst).
void join_cgroup(int procs) {
    while (write(procs, "0", 1) < 0) {
        if (errno != EINTR) leave(Stage::cgroup, errno);
    }
}

// Scripts can't be executed from a close-on-exec descriptor: the kernel hands the interpreter a
// /dev/fd path of it, which is gone by then (execveat(2), BUGS), and without close-on-exec the job
// would have one descriptor too many. Anything that is no ELF file is therefore started by its
// path; that leads to the same file, since the guard has looked that nobody but root (or the
// guard's own user) may change the program or any folder on the way.
bool starts_by_path(int program) {
    const std::string path = "/proc/self/fd/" + std::to_string(program);
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!file) {
        // A program that we may execute and not read is no script: its interpreter could not read
        // it either.
        if (errno == EACCES || errno == EPERM) return false;
        leave(Stage::program, errno);
    }
    constexpr std::string_view elf = "\177ELF";
    std::array<char, elf.size()> start{};
    ssize_t got = 0;
    while ((got = pread(file.get(), start.data(), start.size(), 0)) < 0) {
        if (errno != EINTR) leave(Stage::program, errno);
    }
    return std::string_view(start.data(), static_cast<std::size_t>(got)) != elf;
}

rlimit open_files() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) leave(Stage::open_files, errno);
    return limit;
}

// The guard raises its own soft limit; a program that uses select(2) breaks above 1024.
void set_open_files(rlimit limit, std::uint64_t soft) {
    limit.rlim_cur = std::min<rlim_t>(soft, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) leave(Stage::open_files, errno);
}

// Whoever has the guard's session keyring possesses the keys in it, whatever its uid
// (session-keyring(7)). Kernels without keys, and containers that forbid the call, have none to
// give.
void leave_keyring() {
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 && errno != ENOSYS &&
        errno != EPERM) {
        leave(Stage::keyring, errno);
    }
}

// The guard may be protected from the OOM killer; its jobs are not meant to be. Where it can't be
// written (an unprivileged guard whose value is above 0), the job keeps the higher one.
void reset_oom_score() {
    const UniqueFd file(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    if (file && write(file.get(), "0", 1) < 0) return;
}

// False: the guard is gone.
bool wait_for_go() {
    const ReportBytes ready = encode(Report{});
    while (send(control_fd, ready.data(), ready.size(), MSG_NOSIGNAL) < 0) {
        if (errno != EINTR) return false;
    }
    std::uint8_t word = 0;
    ssize_t got = 0;
    while ((got = recv(control_fd, &word, sizeof(word), 0)) < 0 && errno == EINTR) {
    }
    return got == 1 && word == go;
}

int run() {
    close_others();
    reset_signals();
    // Of its own: no controlling terminal, and a process group that the guard can end.
    if (setsid() < 0) leave(Stage::posix_session, errno);
    reset_oom_score();
    const bool is_root = geteuid() == 0;
    if (is_root) {
        leave_keyring();
        // Nothing of it is anybody's business while it waits. A change of ids sets it anew, and an
        // exec does.
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) leave(Stage::descriptors, errno);
    }
    umask(022);
    const rlimit may_open = open_files();

    auto received = receive_job();
    if (!received) leave(received.error());
    std::optional<Told> told = std::move(received).value();
    if (!told) return 1;
    Order& order = told->order;
    const int program = told->program.get();
    if (order.join_cgroup) join_cgroup(told->cgroup_procs.get());
    if (order.open_files != 0) set_open_files(may_open, order.open_files);
    const bool by_path = starts_by_path(program);
    const std::vector<char*> argv = exec_list(order.argv);
    const std::vector<char*> environment = exec_list(order.environment);

    if (const auto failure = take_identity(order, is_root)) leave(*failure);
    // As the job's user: root must not step where that user may not.
    if (chdir(order.working_directory.c_str()) < 0) leave(Stage::working_directory, errno);
    if (!wait_for_go()) return 1;

    if (by_path) {
        execve(order.program.c_str(), argv.data(), environment.data());
    } else {
        // glibc has execveat since 2.34.
        execveat(program, "", argv.data(), environment.data(), AT_EMPTY_PATH);
    }
    leave(Stage::exec, errno);
}

}  // namespace
}  // namespace postern::launcher

int main(int argc, char** argv) {
    using postern::launcher::spare_option;
    if (argc == 2 && std::string_view(argv[1]) == spare_option) postern::launcher::wait_in_spare();
    return postern::launcher::run();
}
