#include "host/local_mounts.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>

namespace postern {
namespace {

constexpr std::array<std::string_view, 15> local_types = {
    "bcachefs", "btrfs", "devtmpfs", "ext2",   "ext3",  "ext4", "f2fs", "jfs",
    "overlay",  "ramfs", "reiserfs", "rootfs", "tmpfs", "xfs",  "zfs"};

}  // namespace

Result<LocalMounts> LocalMounts::open() {
    UniqueFd file(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
    if (!file) return fail(std::string("/proc/self/mountinfo: ") + std::strerror(errno));
    return LocalMounts(std::move(file));
}

void LocalMounts::look() {
    // While it is read it may change once more.
    constexpr int attempts = 3;
    for (int i = 0; i < attempts; ++i) {
        pollfd changed{file_.get(), POLLPRI, 0};
        if (::poll(&changed, 1, 0) == 0 && was_read_) break;
        read();
    }
}

void LocalMounts::read() {
    ids_.clear();
    was_read_ = false;
    std::string text;
    std::array<char, 16384> buffer;
    // From one end to the other: so the kernel keeps its place in a list that changes.
    if (::lseek(file_.get(), 0, SEEK_SET) != 0) return;
    for (;;) {
        const ssize_t count = ::read(file_.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return;
        if (count == 0) break;
        text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    was_read_ = true;
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        if (const auto id = local_mount_in(line)) ids_.insert(*id);
    }
}

// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue (proc(5))
std::optional<std::uint64_t> local_mount_in(std::string_view line) {
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), id);
    constexpr std::string_view separator = " - ";  // a space in a path is written as \040
    const std::size_t at = line.find(separator);
    if (error != std::errc() || at == std::string_view::npos) return std::nullopt;
    const std::string_view after = line.substr(at + separator.size());
    const bool is_local =
        std::ranges::find(local_types, after.substr(0, after.find(' '))) != local_types.end();
    return is_local ? std::optional(id) : std::nullopt;
}

}  // namespace postern
