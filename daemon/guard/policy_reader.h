// What is done in the thread of the PolicyStore: action files are read, and what became of them
// since is worked out.
//
// What was just changed is not at rest (settling.h). While that lasts its action stays as it was
// loaded, but no call is decided by it: those wait (calls/current_policy.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/guard/policy_watch.h"
#include "daemon/policy/change.h"
#include "daemon/policy/file/load_options.h"
#include "daemon/policy/file/marks.h"
#include "daemon/policy/file/settling.h"
#include "daemon/policy/snapshot.h"

namespace postern {

// Why files are read; the later one is the stronger.
enum class ReadWhy : std::uint8_t {
    look,     // only if something is not as it was
    again,    // what was not at rest may be by now, or a name may be known
    asked,    // the administrator says that they are ready
    started,  // nothing is known yet
};

struct PolicyRead {
    policy::SnapshotPtr snapshot;  // what is to be in force; null: see `error`
    std::string error;             // what makes the whole set unknown; all stays as it was
    // What stood there; null: nothing was ever read.
    std::shared_ptr<const policy::Marks> marks;
    // Of bad files whose programs may be what is wrong; null: nothing was ever read.
    std::shared_ptr<const policy::ProgramMarks> programs;
    policy::Settling::Names restless;  // actions by which nothing is to be decided yet
    // To be read again after this; absent: no need.
    std::optional<std::chrono::nanoseconds> again;
    bool looked = false;  // and nothing read, since all is as it was
    bool same = false;    // nothing is to be put in force
    bool people_changed = false;
    policy::Change change;
};

class PolicyReader {
  public:
    // A file that is bad for a name that is not known or for its program, or that somebody has open
    // for writing, is read again after this.
    static constexpr std::chrono::seconds retry_time{60};

    PolicyReader(policy::LoadOptions options, PolicyWatch watch,
                 std::chrono::nanoseconds retry = retry_time)
        : options_(std::move(options)), watch_(std::move(watch)), retry_(retry) {}

    // Where the files are said to be ready, or nothing is known yet, it waits for them to be at
    // rest, for a while.
    PolicyRead read(ReadWhy why);

  private:
    // One look at everything.
    struct Attempt {
        Result<policy::Snapshot> loaded;
        policy::Marks before;
        std::vector<policy::Mark> people;
        policy::ProgramMarks programs;
        policy::Settling::Found found;
    };

    Attempt attempt(std::chrono::nanoseconds quiet);
    PolicyRead finish(Attempt attempt, ReadWhy why);
    void keep_as_loaded(policy::Snapshot& snapshot, const policy::Settling::Names& names) const;
    void add_what_is_gone(policy::Snapshot& snapshot, const policy::Marks& marks);
    [[nodiscard]] std::vector<policy::Mark> look_at_people() const;
    [[nodiscard]] bool programs_are_same() const;

    policy::LoadOptions options_;
    PolicyWatch watch_;
    std::chrono::nanoseconds retry_;
    policy::Settling settling_;
    policy::SnapshotPtr last_;
    PolicyRead last_read_;
    std::vector<policy::Mark> people_;
    std::set<std::string> seen_directories_;
    bool had_actions_ = false;
};

}  // namespace postern
