// What the action directories held when they were read, as stat(2) showed it by path, so that it
// can be told whether the same stands there now.
//
// By path and not by descriptor: a mount over a directory, and one that was made anew, show as
// well.
#pragma once

#include <cerrno>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace postern::policy {

// Of the clock of the file system: the coarse CLOCK_REALTIME of the kernel where that is local.
struct TimeStamp {
    std::int64_t seconds = 0;
    std::uint32_t nanoseconds = 0;
    auto operator<=>(const TimeStamp&) const = default;
};

// What a path leads to, over links. Whoever writes to it, or changes its owner or mode, changes its
// time of status change.
struct Mark {
    int error = ENOENT;  // of statx(2); 0: it is there
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    TimeStamp modified;
    TimeStamp changed;  // its status

    [[nodiscard]] bool is_there() const { return error == 0; }
    bool operator==(const Mark&) const = default;
};

struct DirectoryMarks {
    std::string path;
    Mark mark;
    // It is on a file system that can keep whoever asks waiting (NFS, FUSE and the like).
    bool remote = false;
    // What ends in ".json", by its name without that; what is not in here was not there.
    std::map<std::string, Mark, std::less<>> files;
    std::set<std::string, std::less<>> remote_files;  // those that are links to such a one

    // Of the file of this action.
    [[nodiscard]] Mark of(std::string_view action) const;
    bool operator==(const DirectoryMarks&) const = default;
};

using Marks = std::vector<DirectoryMarks>;  // in the order of LoadOptions::folders

// What `path` leads to now. With `cached`, a remote file system that is found there all the same is
// not asked for more than the kernel knows (AT_STATX_DONT_SYNC).
Mark mark_of(const std::string& path, bool cached = false);

// The same of a file of which it is not known where it lies; absent: it, or what is there of the
// directories above it, is remote. May block.
std::optional<Mark> local_mark_of(const std::string& path);

// A program that was not as it must be when the file that names it was read.
struct ProgramMark {
    std::string path;
    Mark mark;
    bool operator==(const ProgramMark&) const = default;
};
using ProgramMarks = std::map<std::string, ProgramMark, std::less<>>;  // by action

// All that stands there now. May block on a remote file system.
Marks look_at(const std::vector<std::string>& directories);

// Whether the directories and this action's file in each are as they were: two statx(2) for each
// directory. Does not look at what is remote. The name may be anybody's text.
bool are_same(const Marks& marks, std::string_view action);
// The directories alone: as long as they are the same no file was added, removed or replaced.
bool are_same(const Marks& marks);
bool any_remote(const Marks& marks);

}  // namespace postern::policy
