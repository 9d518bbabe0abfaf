// Which denials are recorded one by one: the first few of a user within a window; the rest is
// counted and recorded as one sum when the window ends, so that a caller in a loop can't fill the
// audit. Pure: time comes in as a parameter.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace postern {

class DenialWindow {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds length{10};
    static constexpr std::uint64_t most_single = 20;
    // Windows at a time, all beyond share one a kind: an owner has one a kind, whatever uids and
    // gids are his.
    static constexpr std::size_t most_windows = 1024;

    struct Sum {
        uid_t uid;  // of who pays
        gid_t gid;  // of the first
        std::uint8_t kind;
        std::uint64_t count;
    };

    // Whether this denial is recorded by itself. The uid is that of who pays. Kinds are counted
    // apart, so that many of one don't hide the first of another.
    bool single(uid_t uid, gid_t gid, std::uint8_t kind, Time now);

    // Ends every window that is over and returns what was counted in it.
    std::vector<Sum> ended(Time now);

    // Whether a window is open, so that ended() will be due.
    [[nodiscard]] bool open() const { return !windows_.empty(); }

  private:
    struct Window {
        Time began;
        gid_t gid = 0;
        std::uint64_t singles = 0;
        std::uint64_t summed = 0;
    };
    std::map<std::pair<uid_t, std::uint8_t>, Window> windows_;
};

}  // namespace postern
