#include "daemon/guard/sessions/spare_session.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/limits.h"
#include "base/utf8.h"
#include "base/version.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"
#include "daemon/guard/listen/socket_options.h"

namespace postern {
namespace {

std::vector<std::string> session_arguments(const SessionSettings& settings) {
    std::vector<std::string> arguments = {"postern-session"};
    if (settings.ids) {
        arguments.insert(arguments.end(), {"--uid", std::to_string(settings.ids->first), "--gid",
                                           std::to_string(settings.ids->second)});
    }
    return arguments;
}

// False: not within its time.
bool wait_readable(int fd) {
    const auto end = std::chrono::steady_clock::now() + limits::session_patience;
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return false;
        pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
        const int ready = ::poll(&readable, 1, static_cast<int>(left.count()));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return false;
    }
}

// What one says on its standard error, where others have /dev/null: it is started once more.
std::string words_of_failure(const SessionSettings& settings) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {};
    const UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    auto channel = channel::make_pair();
    if (!null || !channel) return {};
    const auto pid = settings.spawner->spawn({settings.program,
                                              session_arguments(settings),
                                              {{null.get(), 0},
                                               {null.get(), 1},
                                               {theirs.get(), 2},
                                               {channel->second.get(), child_channel_fd}}});
    if (!pid) return pid.error().message;
    theirs.reset();
    // One that is ready this time leaves at once.
    *channel = {};
    std::array<char, 1024> said{};
    ssize_t length = 0;
    if (wait_readable(ours.get())) length = ::read(ours.get(), said.data(), said.size());
    ::kill(*pid, SIGKILL);
    int status = 0;
    while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (length <= 0 && WIFSIGNALED(status)) {
        return "postern-session died of signal " + std::to_string(WTERMSIG(status));
    }
    const std::string_view text(said.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    return printable(text.substr(0, text.find('\n')));
}

Unexpected<Error> cant_serve(const std::string& why) {
    return fail("no session can be started, so no call can be served: " + why);
}

}  // namespace

Result<SpareSession> spawn_session(sd_event* event, const SessionSettings& settings) {
    POSTERN_TRY(auto pair, channel::make_pair());
    auto& [guard_end, session_end] = pair;
    refuse_descriptors(guard_end.get());
    POSTERN_TRY(auto child, Child::spawn(event, *settings.spawner, settings.program,
                                         session_arguments(settings), session_end.get(),
                                         settings.descriptors, [](const std::string&) {}));
    return SpareSession{std::move(child), std::move(guard_end)};
}

Result<SpareSession> try_session(Result<SpareSession> started, const SessionSettings& settings) {
    if (!started) {
        return cant_serve(started.error().message +
                          "; look at that program, and at the number of processes that the daemon "
                          "may have (TasksMax=, RLIMIT_NPROC)");
    }
    if (!wait_readable(started->channel.get())) {
        return cant_serve("postern-session did not become ready within " +
                          std::to_string(limits::session_patience.count()) + " s");
    }
    channel::Receiver receiver(channel::Descriptors::refused);
    const channel::Received received = receiver.receive(started->channel.get());
    if (received.state == channel::Received::State::ended) {
        const std::string words = words_of_failure(settings);
        return cant_serve(words.empty() ? "postern-session ended before it was ready" : words);
    }
    const auto message = channel::decode_to_guard(received.packet);
    const auto* const ready = message ? std::get_if<channel::Ready>(&message->body) : nullptr;
    if (ready == nullptr || ready->session_version != version) {
        return cant_serve("postern-session is of another version; install the package again");
    }
    return started;
}

}  // namespace postern
