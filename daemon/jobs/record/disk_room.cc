#include "daemon/jobs/record/disk_room.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "base/io.h"
#include "base/unique_fd.h"

namespace postern::jobs {
namespace {

constexpr const char* probe_name = "room";

}  // namespace

DiskRoom room_on(int folder) {
    constexpr std::uint64_t any = std::numeric_limits<std::uint64_t>::max();
    struct statvfs disk{};
    if (fstatvfs(folder, &disk) < 0) return {any, any, any};
    // What is reserved is root's.
    const bool is_root = geteuid() == 0;
    const auto blocks = is_root ? disk.f_bfree : disk.f_bavail;
    const auto files = is_root ? disk.f_ffree : disk.f_favail;
    // Without a number of files there is no bound on it (btrfs).
    return {disk.f_blocks * disk.f_frsize, blocks * disk.f_frsize, disk.f_files == 0 ? any : files};
}

bool is_room_for_start(const DiskRoom& room) {
    return room.free >= room_of_start && room.files >= files_of_start;
}

std::uint64_t spare_room(const DiskRoom& room) {
    constexpr std::uint64_t most = 1024 * 1024;
    return std::max(room_of_start, std::min(most, room.size / 16));
}

bool is_want_of_room(int error) {
    return error == ENOSPC || error == EDQUOT;
}

bool can_take_room_of_start(int folder) {
    if (!is_room_for_start(room_on(folder))) return false;
    const UniqueFd file(
        openat(folder, probe_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return !is_want_of_room(errno);
    const bool taken =
        fallocate(file.get(), 0, 0, room_of_start) == 0 ||
        (!is_want_of_room(errno) &&
         (write_all(file.get(), std::string(room_of_start, 'x')) || !is_want_of_room(errno)));
    unlinkat(folder, probe_name, 0);
    return taken;
}

}  // namespace postern::jobs
