// Which mounts are of file systems that this machine's kernel alone serves: an operation on their
// files waits for nobody. On all others (FUSE, a network's) it can wait for as long as their server
// likes, uninterruptibly.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern {

class LocalMounts {
  public:
    // Error: /proc/self/mountinfo can't be opened.
    static Result<LocalMounts> open();

    // Reads what is mounted, if it has changed since the last time (poll(2) on the file says so:
    // proc(5)). Never asks a file system anything.
    void look();
    // By the last look(). `id` as statx(2) says it (STATX_MNT_ID), of a file that was opened before
    // that and is open still: then no other mount can have come to that number.
    [[nodiscard]] bool has(std::uint64_t id) const { return ids_.contains(id); }

  private:
    explicit LocalMounts(UniqueFd file) : file_(std::move(file)) {}
    void read();

    UniqueFd file_;
    std::set<std::uint64_t> ids_;
    bool was_read_ = false;
};

// The mount in a line of mountinfo, if its file system is a local one: one of those that are known
// to be. Pure.
std::optional<std::uint64_t> local_mount_in(std::string_view line);

}  // namespace postern
