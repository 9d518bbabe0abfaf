// Which denials are recorded one by one: the first few of a caller within a window; the rest is
// counted and recorded as one sum when the window ends, so that a caller in a loop can't fill the
// audit. Pure: time comes in as a parameter.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace postern {

class DenialWindow {
  public:
    static constexpr std::uint64_t window_usec = 10'000'000;
    static constexpr std::uint64_t most_single = 20;
    // Callers that are told apart; one user may own many thousand uids, so all beyond share one.
    static constexpr std::size_t most_callers = 1024;

    struct Sum {
        uid_t uid;
        gid_t gid;
        std::uint64_t count;
    };

    // Whether this denial is recorded by itself.
    bool single(uid_t uid, gid_t gid, std::uint64_t now_usec);

    // Ends every window that is over and returns what was counted in it.
    std::vector<Sum> ended(std::uint64_t now_usec);

    // Whether a window is open, so that ended() will be due.
    [[nodiscard]] bool open() const { return !windows_.empty(); }

  private:
    struct Window {
        std::uint64_t began_usec;
        std::uint64_t singles = 0;
        std::uint64_t summed = 0;
    };
    std::map<std::pair<uid_t, gid_t>, Window> windows_;
};

}  // namespace postern
