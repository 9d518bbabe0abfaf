#include "daemon/guard/listen/socket_watch.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <utility>

#include "base/utf8.h"

namespace postern {
namespace {

// How long changes are not looked at after some: a directory may be everybody's (/tmp). And after
// one was bound again: whoever keeps removing it does so in vain, and costs little.
constexpr std::chrono::milliseconds settle_time{100};
constexpr std::chrono::seconds rebind_time{1};

// The directory that holds it; of "/", itself.
std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

SocketWatch::SocketWatch(sd_event* event, const std::vector<Listener>& listeners, bool own_user,
                         Serve serve)
    : event_(event), own_user_(own_user), serve_(std::move(serve)), resume_(event, [this] {
          if (changes_) sd_event_source_set_enabled(changes_.get(), SD_EVENT_ON);
      }) {
    for (const Listener& listener : listeners) {
        if (!listener.file) continue;
        sockets_.push_back({listener.file, listener.administrator, listener.datagram, {}});
    }
}

void SocketWatch::start() {
    inotify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (inotify_ && add_io(event_, changes_, inotify_.get(), EPOLLIN,
                           [this](std::uint32_t) { on_changes(); }) < 0) {
        inotify_.reset();
    }
    look();
}

void SocketWatch::look() {
    // First, so that what changes afterwards is seen.
    watch_folders();
    bound_again_ = false;
    for (Watched& one : sockets_) {
        if (one.unserved) continue;
        std::string problem = one.file->is_there() ? "" : mend(one);
        // Another guard that has it by now finds the socket answering, and ends.
        if (problem.empty()) static_cast<void>(one.file->restore_lock());
        if (problem == one.problem) continue;
        one.problem = std::move(problem);
        if (one.problem.empty()) {
            spdlog::warn("socket {}: callers can reach the daemon there again",
                         printable(one.file->path()));
        } else {
            spdlog::error("{}", one.problem);
        }
    }
    if (!bound_again_) return;
    watch_folders();  // it may have made one
    pause();
}

// Returns what is still wrong.
std::string SocketWatch::mend(Watched& one) {
    const std::string who = "socket " + printable(one.file->path()) + ": ";
    if (!one.file->is_own()) {
        return who +
               "its file was removed or replaced, so callers can't reach the daemon there; run: " +
               command_for(one);
    }
    auto bound = one.file->bind_again();
    if (!bound) {
        return bound.error().message +
               " (its own file was removed or replaced, so callers can't reach the daemon there)";
    }
    bound_again_ = true;
    Listener listener;
    listener.name = one.file->path();
    listener.socket = std::move(*bound);
    listener.file = one.file;
    listener.administrator = one.administrator;
    listener.datagram = one.datagram;
    if (const Status served = serve_(std::move(listener)); !served) {
        one.unserved = true;
        return who + "its file was removed or replaced, and the new one can't be served: " +
               served.error().message;
    }
    spdlog::warn("{}its file was removed or replaced: bound again; open connections continue", who);
    return {};
}

// A socket unit can't be started while its service runs. The first one takes the service along
// (Requires=), the others have to be told of it.
std::string SocketWatch::command_for(const Watched& one) const {
    const std::string systemctl = own_user_ ? "systemctl --user restart " : "systemctl restart ";
    if (one.administrator) return systemctl + "posternd-admin.socket posternd.service";
    if (one.datagram) return systemctl + "posternd-datagram.socket posternd.service";
    return systemctl + "posternd.socket";
}

std::vector<std::string> SocketWatch::problems() const {
    std::vector<std::string> problems;
    for (const Watched& one : sockets_) {
        if (!one.problem.empty()) problems.push_back(one.problem);
    }
    return problems;
}

// Each directory, or what is there of those above it, where it will be made again.
void SocketWatch::watch_folders() {
    constexpr std::uint32_t mask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                                   IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    if (!inotify_) return;
    std::set<int> watches;
    for (const Watched& one : sockets_) {
        std::string folder = parent_of(one.file->path());
        int watch = ::inotify_add_watch(inotify_.get(), folder.c_str(), mask);
        while (watch < 0 && (errno == ENOENT || errno == ENOTDIR) && folder != "/") {
            folder = parent_of(folder);
            watch = ::inotify_add_watch(inotify_.get(), folder.c_str(), mask);
        }
        if (watch >= 0) watches.insert(watch);
    }
    for (const int old : watches_) {
        if (!watches.contains(old)) (void)::inotify_rm_watch(inotify_.get(), old);
    }
    watches_ = std::move(watches);
}

// Which they are does not matter: it is cheaper to look than to tell them apart.
void SocketWatch::on_changes() {
    constexpr std::size_t buffer_bytes = 16 * 1024;
    constexpr int most_reads = 64;  // more than the kernel keeps (fs.inotify.max_queued_events)
    std::array<char, buffer_bytes> buffer{};
    int reads = 0;
    while (reads < most_reads && ::read(inotify_.get(), buffer.data(), buffer.size()) > 0) ++reads;
    look();
    pause();
}

void SocketWatch::pause() {
    if (resume_.arm(bound_again_ ? std::chrono::microseconds(rebind_time)
                                 : std::chrono::microseconds(settle_time)) < 0) {
        return;
    }
    if (changes_) sd_event_source_set_enabled(changes_.get(), SD_EVENT_OFF);
}

}  // namespace postern
