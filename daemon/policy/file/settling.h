// Which files have come to rest: what was just written, removed or replaced is not believed before
// nothing has changed for a while. An editor removes a file and makes it anew, and what is half
// written may be another rule.
//
// Pure: the times come from outside.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "daemon/policy/file/marks.h"

namespace postern::policy {

class Settling {
  public:
    using Steady = std::chrono::steady_clock::time_point;
    // `wall` is the clock of the marks' times, by which a file that nobody has watched is judged.
    // It may be set; what was watched for long enough is at rest whatever it says.
    struct Now {
        Steady steady;
        std::chrono::system_clock::time_point wall;
    };
    // For how long nothing must have changed.
    static constexpr std::chrono::milliseconds quiet_time{200};
    // Where the files are said to be ready. More than a tick of the kernel's clock: what was
    // written in the tick in which it was looked at may be written again in it, and its mark stays
    // the same.
    static constexpr std::chrono::milliseconds ready_time{20};
    // What is restless for longer is taken as it is, and one that is open for writing for longer is
    // said to be so.
    static constexpr std::chrono::seconds patience{5};

    using Names = std::set<std::string, std::less<>>;
    // By action, the number of the directory that what was read came from; absent: there is none.
    using Sources = std::map<std::string, std::size_t, std::less<>>;
    struct Found {
        Names restless;  // actions whose files are not to be believed yet
        // Those of them where what was read is what a file of a later directory replaces, which
        // may be there again at any time.
        Names uncovered;
        Names held;  // those that somebody has open for writing, for longer than `patience`
        // After which they may be at rest; absent: all are, but for those that are open.
        std::optional<std::chrono::nanoseconds> next;
        bool waits_for_close = false;  // one is open, and not held
    };

    // The directories before and after they were read, and the actions whose files were found open
    // for writing. `quiet`: quiet_time or ready_time; what uncovers another file is watched for the
    // former in any case.
    Found take(const Marks& before, const Marks& after, const Names& open, Now now,
               std::chrono::nanoseconds quiet, const Sources& sources = {});

  private:
    struct Seen {
        Mark mark;
        Steady since;                    // it is so
        std::optional<Steady> restless;  // since when; absent: it is at rest
        // What tells when it changed last: it, or the directory that it vanished from.
        Mark dated;
        Steady dated_since;
    };
    using Files = std::map<std::string, Seen, std::less<>>;

    struct Look {
        Now now;
        std::chrono::nanoseconds quiet;
        const Sources& sources;
    };
    void take_directory(std::size_t number, const DirectoryMarks& before,
                        const DirectoryMarks& after, const Look& look, Found& found);
    void take_open(const Names& open, Now now, Found& found);

    std::optional<Steady> began_;
    std::map<std::size_t, Files> seen_;  // by the number of the directory; with what vanished
    std::map<std::string, Steady, std::less<>> open_;
};

}  // namespace postern::policy
