// Which read ends the service manager holds for us, in case keeper and guard both end.
//
// Each message about a descriptor costs the manager milliseconds, and more the more it stores. So
// only descriptors of jobs that have run for some time are stored, and at most one such message is
// sent in a second.
//
// The manager must never be the last one to close an end of a pipe: that may stand still for ever
// (workers.h), and with it the whole host. So what it may have stored is held here as well, until
// the manager has confirmed that it has removed it (sd_notify(3), BARRIER=1: it closes a descriptor
// of ours when everything before is done).
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/output/keeper/mover.h"
#include "daemon/output/keeper/poll_set.h"
#include "daemon/output/keeper/service_manager.h"
#include "daemon/output/keeper/workers.h"

namespace postern::output {

class DescriptorStore {
  public:
    using Clock = std::chrono::steady_clock;

    // All outlive it. An event of this number in `poll` is for answered().
    DescriptorStore(const ServiceManager& manager, PollSet& poll, std::uint64_t number,
                    Workers& workers)
        : manager_(manager), poll_(poll), number_(number), workers_(workers) {}
    DescriptorStore(const DescriptorStore&) = delete;
    DescriptorStore& operator=(const DescriptorStore&) = delete;
    ~DescriptorStore() = default;

    // The name of a stream in the store, and back; nothing: it is not one of ours.
    static std::string name_of(const Mover::Name& name);
    static std::optional<Mover::Name> parse(const std::string& name);

    // A read end is kept from now on, and stays open until remove(); or it came from the store.
    void add(const Mover::Name& name, int pipe, Clock::time_point now);
    void add_stored(const Mover::Name& name);
    // Workers close these descriptors of it, now or later, in the turns of this owner.
    void remove(const Mover::Name& name, std::uint64_t owner, std::vector<UniqueFd> descriptors);

    // This process is about to end: stores all that are not stored yet, at once. False: call it
    // again; the manager takes no more at the moment, or has not done all of it yet.
    bool store_all();

    [[nodiscard]] std::optional<Clock::time_point> due() const;
    void pass_time(Clock::time_point now);
    void answered();

  private:
    struct Entry {
        int pipe = -1;  // where it is not stored yet
        Clock::time_point since;
    };
    struct Held {
        std::uint64_t owner;
        std::vector<UniqueFd> descriptors;
    };

    void skip_removed();
    bool ask();

    const ServiceManager& manager_;
    PollSet& poll_;
    std::uint64_t number_;
    Workers& workers_;
    std::map<std::string, Entry> entries_;
    // Those to be stored, the oldest first; some may have been removed.
    std::deque<std::pair<std::string, Clock::time_point>> order_;
    std::deque<std::pair<std::string, Held>> removed_;  // the manager was not told yet
    std::vector<Held> unasked_;                         // told, and no barrier followed
    std::vector<Held> asked_;                           // until the answer to the barrier
    UniqueFd answer_;
    bool asked_at_last_ = false;
    Clock::time_point next_;  // not before
};

}  // namespace postern::output
