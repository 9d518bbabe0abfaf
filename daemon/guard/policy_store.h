// Loads the action files beside the loop: they are read, names are looked up (NSS may ask the
// network) and the result is handed to the loop as one immutable snapshot.
//
// What stands in the action directories is what is loaded: before each decision is_current() holds
// against each other what was read and what stat(2) says, and a change that was seen (inotify(7))
// makes a load begin by itself. What the machine says of users (policy::People, and what names
// stand for) is a part of it. A range of subordinate ids that vanished counts as long as this
// lives: processes and setuid files of it stay.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/guard/policy_reader.h"
#include "daemon/guard/policy_watch.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/worker.h"
#include "daemon/policy/file/load_options.h"
#include "daemon/policy/snapshot.h"

namespace postern {

class PolicyStore {
  public:
    // `request`: the newest that this load began after.
    using Loaded = std::function<void(PolicyRead read, std::uint64_t request)>;

    // What can't be compared without waiting for another machine is compared so often, in the
    // thread; the files that say who is who too.
    static constexpr std::chrono::seconds look_time{5};

    // Errors: no descriptor or thread to be had. `loaded` is called from the loop after each load.
    // `retry`: see PolicyReader::retry_time.
    static Result<std::unique_ptr<PolicyStore>> create(
        sd_event* event, policy::LoadOptions options, Loaded loaded,
        std::chrono::nanoseconds retry = PolicyReader::retry_time);
    // Does not wait for a load that is under way.
    ~PolicyStore() = default;
    PolicyStore(const PolicyStore&) = delete;
    PolicyStore& operator=(const PolicyStore&) = delete;

    // Loads once more: the first time, and when the administrator asks. What changes while a load
    // is under way is seen by another one after it. Returns the number of this request: ascending.
    std::uint64_t load();
    // Loads if anything is not as it was. `loaded` is called in any case.
    std::uint64_t look();

    // Whether what was loaded last stands there now, as far as this action goes; of all actions
    // where it is empty. Two statx(2) for each directory, by the loop; and one of the program, if
    // the action's file is bad and that may be why.
    bool is_current(const std::string& action);

    // Whether changes are seen by themselves. Not where the kernel gives no inotify instance, or
    // where there is no such folder.
    [[nodiscard]] bool sees_changes() const { return watching_ != nullptr; }

  private:
    using Clock = std::chrono::steady_clock;
    struct Asked {
        ReadWhy why = ReadWhy::look;
        std::uint64_t request = 0;
        bool quietly = true;  // nobody is to be told where nothing was read
        Clock::time_point at;
    };
    struct Outcome {
        PolicyRead read;
        Asked asked;
    };
    using Files = Worker<Asked, Outcome>;

    PolicyStore(sd_event* event, Loaded loaded);
    std::uint64_t order(ReadWhy why, bool quietly);
    void watch(sd_event* event, const PolicyWatch& watch);
    void on_changes(const PolicyWatch& watch);
    void on_read(std::vector<Outcome> outcomes);
    void take(Outcome& outcome);

    Loaded loaded_;
    std::uint64_t requested_ = 0;
    std::shared_ptr<const policy::Marks> marks_;
    std::shared_ptr<const policy::ProgramMarks> programs_;
    policy::Settling::Names restless_;
    bool remote_ = false;
    Clock::time_point looked_;        // began the last load or look that came to an end
    Clock::time_point look_ordered_;  // the last of those that are due every look_time
    bool changing_ = false;           // since then soon_ is armed
    Timer soon_;
    Timer again_;
    std::unique_ptr<Files> files_;
    EventSource watching_;
};

}  // namespace postern
