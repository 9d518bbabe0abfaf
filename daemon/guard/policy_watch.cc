#include "daemon/guard/policy_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace postern {
namespace {

// The folders, since files are replaced whole (rename(2)) by those who change them.
constexpr std::uint32_t entries =
    IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;

}  // namespace

PolicyWatch::PolicyWatch(const std::string& settings)
    : changes_(std::make_shared<UniqueFd>(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC))) {
    if (*changes_) settings_ = ::inotify_add_watch(descriptor(), settings.c_str(), entries);
}

void PolicyWatch::add(const std::vector<std::string>& directories) {
    if (!*changes_) return;
    for (const std::string& path : directories) {
        const int watch = ::inotify_add_watch(descriptor(), path.c_str(),
                                              entries | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF);
        const auto [known, is_new] = watched_.try_emplace(path, watch);
        if (known->second != watch && known->second >= 0) {
            ::inotify_rm_watch(descriptor(), known->second);
        }
        known->second = watch;
    }
}

bool PolicyWatch::changed() const {
    constexpr std::size_t buffer_bytes = 16 * 1024;
    alignas(inotify_event) std::array<char, buffer_bytes> buffer{};
    const ssize_t got = ::read(descriptor(), buffer.data(), buffer.size());
    bool changed = false;
    std::size_t at = 0;
    while (got > 0 && at + sizeof(inotify_event) <= static_cast<std::size_t>(got)) {
        inotify_event one{};
        std::memcpy(&one, &buffer[at], sizeof one);
        const std::string_view padded(&buffer[at + sizeof one], one.len);
        const std::string_view name = padded.substr(0, padded.find('\0'));
        at += sizeof one + one.len;
        if ((one.mask & IN_IGNORED) != 0) continue;
        changed = changed || one.wd != settings_ ||
                  std::ranges::find(people_files, name) != people_files.end();
    }
    return changed;
}

}  // namespace postern
