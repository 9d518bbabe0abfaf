// What is left on the file system that has the records and outputs of jobs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace postern::jobs {

// If the file system can't be asked, there is room enough.
struct DiskRoom {
    std::uint64_t size = 0;   // bytes of the whole file system
    std::uint64_t free = 0;   // bytes that this process may still take
    std::uint64_t files = 0;  // that may still be made
};
DiskRoom room_on(int folder);

// What one more job needs before it may start: its record, of arguments as long as a message's,
// escaped; and its folder and files.
inline constexpr std::uint64_t room_of_start = std::uint64_t{128} * 1024;
inline constexpr std::uint64_t files_of_start = 8;

bool is_room_for_start(const DiskRoom& room);

// How much there ought to be, so that no start has to wait until something was removed: 1 MiB, or a
// sixteenth of a small file system.
std::uint64_t spare_room(const DiskRoom& room);

// Whether an error says that there is no room, or a quota of the file system is used up.
bool is_want_of_room(int error);

// Takes that much with a file in this directory, and gives it back: this finds out what statfs(2)
// does not tell (quotas). Waits for the disk.
bool can_take_room_of_start(int folder);

}  // namespace postern::jobs
