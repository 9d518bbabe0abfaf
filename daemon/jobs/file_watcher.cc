#include "daemon/jobs/file_watcher.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace postern::jobs {

Result<std::unique_ptr<FileWatcher>> FileWatcher::create(sd_event* event,
                                                         std::function<void(int)> changed,
                                                         std::function<void()> overflow) {
    UniqueFd inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!inotify) {
        return fail(std::string("inotify: ") + std::strerror(errno) +
                    "; see fs.inotify.max_user_instances");
    }
    std::unique_ptr<FileWatcher> watcher(
        new FileWatcher(std::move(inotify), std::move(changed), std::move(overflow)));
    const int added = add_io(event, watcher->source_, watcher->inotify_.get(), EPOLLIN,
                             [raw = watcher.get()](std::uint32_t) { raw->read_events(); });
    if (added < 0) return fail(std::string("event loop: ") + std::strerror(-added));
    return watcher;
}

int FileWatcher::watch(const std::string& path) {
    return inotify_add_watch(inotify_.get(), path.c_str(), IN_MODIFY);
}

void FileWatcher::forget(int watch) {
    inotify_rm_watch(inotify_.get(), watch);
}

// One buffer a round, so that other sources get their turn; the loop comes back.
void FileWatcher::read_events() {
    constexpr std::size_t buffer_bytes = 16 * 1024;
    alignas(inotify_event) std::array<char, buffer_bytes> buffer{};
    const ssize_t got = read(inotify_.get(), buffer.data(), buffer.size());
    if (got <= 0) return;
    std::size_t at = 0;
    while (at + sizeof(inotify_event) <= static_cast<std::size_t>(got)) {
        inotify_event event{};
        std::memcpy(&event, &buffer[at], sizeof(event));
        at += sizeof(event) + event.len;
        if ((event.mask & IN_Q_OVERFLOW) != 0) overflow_();
        if ((event.mask & IN_MODIFY) != 0) changed_(event.wd);
    }
}

}  // namespace postern::jobs
