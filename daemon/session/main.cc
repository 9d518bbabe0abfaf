// postern-session: speaks the protocol with the clients of one caller, and has no power of its own.
//
// Started by posternd, with the channel on descriptor 3:
//     postern-session --uid UID --gid GID    become this user
//     postern-session                        stay who one is (a guard that serves its own user
//     only)
// Exit status: 0 the guard closed the channel; 1 something is broken; 2 usage.

#include <malloc.h>

#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "daemon/channel/messages.h"
#include "daemon/session/sandbox.h"
#include "daemon/session/session.h"

namespace {

using postern::session::Session;

int give_up(const std::string& message) {
    std::fprintf(stderr, "postern-session: %s\n", message.c_str());
    return 1;
}

}  // namespace

#ifdef POSTERN_SANITIZED
// The search for leaks at the end needs to trace the process, which is not dumpable by then. The
// same code is searched in the unit tests. NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __asan_default_options() {
    return "detect_leaks=0";
}
#endif

// What throws here, such as a lack of memory, is to end this session, and nothing else ends by it.
// NOLINTNEXTLINE(bugprone-exception-escape)
int main(int argc, char** argv) {
    std::optional<postern::Ids> ids;
    if (argc > 1) {
        ids = postern::parse_ids(argc - 1, argv + 1);
        if (!ids) {
            std::fputs("usage: postern-session [--uid UID --gid GID]   (started by posternd)\n",
                       stderr);
            return 2;
        }
    }
    // Replies with output are some hundred KiB that come and go: so much memory is kept between
    // them, rather than taken from the kernel for each.
    constexpr int kept = 4 * 1024 * 1024;
    mallopt(M_MMAP_THRESHOLD, kept);
    mallopt(M_TRIM_THRESHOLD, kept);
    mallopt(M_TOP_PAD, kept / 4);
    using postern::channel::session_fd;
    if (auto closed = postern::close_descriptors_from(session_fd + 1); !closed) {
        return give_up(closed.error().message);
    }
    auto session = Session::create(postern::UniqueFd(session_fd));
    if (!session) return give_up(session.error().message);
    if (auto entered = postern::session::enter_sandbox(ids); !entered) {
        return give_up(entered.error().message);
    }
    (*session)->ready();
    auto state = Session::State::running;
    while (state == Session::State::running) state = (*session)->step(-1);
    return state == Session::State::over ? 0 : 1;
}
