#include "daemon/loop/child.h"

#include <fcntl.h>
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
    return duplicate(low.get(), lowest_program_fd);
}

}  // namespace

Result<UniqueFd> open_helper(const std::string& name) {
    const std::string beside = own_folder().append("/").append(name);
    if (UniqueFd program = open_program(beside)) return program;
    const std::string installed = std::string(libexec_directory).append("/").append(name);
    if (UniqueFd program = open_program(installed)) return program;
    return fail("program " + name + ": neither " + beside + " nor " + installed +
                " can be opened: " + std::strerror(errno) + "; install the package again");
}

Result<std::unique_ptr<Child>> Child::spawn(sd_event* event, Spawner& spawner, int program,
                                            const std::vector<std::string>& arguments, int channel,
                                            std::uint64_t descriptors,
                                            std::function<void(const std::string&)> exited) {
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null) return fail(std::string("/dev/null: ") + std::strerror(errno));
    Program started{program, arguments, {{null.get(), 0}, {null.get(), 1}}};
#ifndef POSTERN_SANITIZED
    started.descriptors.emplace_back(null.get(), 2);
#endif  // else a sanitizer's report must reach somebody
    started.descriptors.emplace_back(channel, child_channel_fd);
    POSTERN_TRY(const pid_t pid, spawner.spawn(started));
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
