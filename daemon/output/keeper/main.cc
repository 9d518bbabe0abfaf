// postern-output: keeps what jobs write, and has no rights of its own.
//
//     postern-output --service               as a service: guards connect to its socket in
//                                            $RUNTIME_DIRECTORY, and what it keeps outlives them
//     postern-output [--uid UID --gid GID]   started by posternd, with the channel on descriptor 3:
//                                            becomes this user; without ids (a guard that serves
//                                            its own user only) stays the user that it is
// Exit status: 0 the guard closed the channel, or SIGTERM came; 1 something is broken; 2 usage.

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/stray_signals.h"
#include "daemon/confine/rights.h"
#include "daemon/output/keeper/keeper.h"
#include "daemon/output/keeper/system_calls.h"

namespace {

using postern::Ids;
using postern::Status;
using postern::UniqueFd;
using postern::output::Keeper;

constexpr int channel_fd = 3;

Status failed(const std::string& what) {
    return postern::fail(what + ": " + std::strerror(errno));
}

void take_stored(Keeper::Parts& parts, std::vector<postern::output::Stored> stored) {
    for (auto& [text, descriptor] : stored) {
        const auto name = postern::output::DescriptorStore::parse(text);
        if (name && postern::output::KeptStream::is_read_end(descriptor.get())) {
            parts.stored.emplace_back(*name, std::move(descriptor));
        } else {
            std::fprintf(stderr,
                         "postern-output: \"%s\" in the descriptor store is not an "
                         "output stream of a job; closing it\n",
                         text.c_str());
        }
    }
}

// To an empty directory, where the service has the capability for it: the system's has, a user's
// has not. Nothing can be opened in either case.
Status leave_root() {
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_SYS_CHROOT, 0, 0) != 1) return {};
    const std::string empty = std::string(std::getenv("RUNTIME_DIRECTORY")) + "/empty";
    constexpr mode_t mode = 0500;
    if (::mkdir(empty.c_str(), mode) != 0 && errno != EEXIST) return failed(empty);
    if (::chroot(empty.c_str()) != 0) return failed("chroot " + empty);
    return {};
}

Status become_service(Keeper::Parts& parts) {
    auto stored = postern::output::stored_descriptors();
    const auto first_other = static_cast<unsigned>(channel_fd + stored.size());
    POSTERN_TRY(postern::close_descriptors_from(first_other));
    take_stored(parts, std::move(stored));
    const char* const directory = std::getenv("RUNTIME_DIRECTORY");
    if (directory == nullptr || *directory != '/') {
        return postern::fail(
            "RUNTIME_DIRECTORY is not set; --service is only for the unit "
            "postern-output.service");
    }
    POSTERN_TRY(auto listener,
                postern::output::GuardListener::create(std::string(directory) + "/socket"));
    parts.listener = std::move(listener);
    parts.manager = postern::output::ServiceManager::connect();
    parts.watchdog = postern::output::watchdog_time();
    return {};
}

// Two or three for each stream of a job; a user's manager gives few of what one may have.
void raise_descriptor_limit() {
    rlimit descriptors{};
    if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return;
    descriptors.rlim_cur = descriptors.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &descriptors);
}

Status open_parts(Keeper::Parts& parts) {
    parts.null.reset(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    if (!parts.null) return failed("/dev/null");
    sigset_t end;
    ::sigemptyset(&end);
    ::sigaddset(&end, SIGTERM);
    parts.end_sign.reset(::signalfd(-1, &end, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!parts.end_sign) return failed("signalfd");
    return {};
}

// The end is to be noticed by its descriptor.
Status block_end() {
    sigset_t end;
    ::sigemptyset(&end);
    ::sigaddset(&end, SIGTERM);
    if (::sigprocmask(SIG_BLOCK, &end, nullptr) != 0) return failed("sigprocmask");
    return {};
}

Status run(bool is_service, const std::optional<Ids>& ids) {
    Keeper::Parts parts;
    raise_descriptor_limit();
    if (is_service) {
        // Its descriptors come first, and stand where they do.
        POSTERN_TRY(become_service(parts));
    } else {
        POSTERN_TRY(postern::close_descriptors_from(channel_fd + 1));
        parts.channel.reset(channel_fd);
    }
    POSTERN_TRY(open_parts(parts));
    if (is_service) POSTERN_TRY(leave_root());
    POSTERN_TRY(auto keeper, Keeper::create(std::move(parts)));
    POSTERN_TRY(postern::give_up_rights("postern-output", ids));
    POSTERN_TRY(block_end());
    POSTERN_TRY(keeper->start());
    // Its ids do not change any more, and a handler could not return: see its system calls.
    postern::ignore_library_signals();
    POSTERN_TRY(postern::output::limit_system_calls());
    // Its threads end with the process.
    Keeper* const lasting = keeper.release();
    if (!lasting->run()) return postern::fail("");
    return {};
}

}  // namespace

#ifdef POSTERN_SANITIZED
// The search for leaks at the end needs to trace the process, which is not dumpable by then.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __asan_default_options() {
    return "detect_leaks=0";
}
#endif

// What throws here, such as a lack of memory, ends this process, and nothing is lost by it.
// NOLINTNEXTLINE(bugprone-exception-escape)
int main(int argc, char** argv) {
    std::optional<Ids> ids;
    const bool is_service = argc == 2 && std::string_view(argv[1]) == "--service";
    if (argc > 1 && !is_service) {
        ids = postern::parse_ids(argc - 1, argv + 1);
        if (!ids) {
            std::fputs(
                "usage: postern-output --service | [--uid UID --gid GID]   (started by "
                "systemd, or by posternd)\n",
                stderr);
            return 2;
        }
    }
    const Status status = run(is_service, ids);
    if (status) return 0;
    // Past the list of system calls nothing can be said any more.
    if (!status.error().message.empty()) {
        std::fprintf(stderr, "postern-output: %s\n", status.error().message.c_str());
    }
    return 1;
}
