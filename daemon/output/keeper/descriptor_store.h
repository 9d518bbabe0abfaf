// Which read ends the service manager holds for us, should keeper and guard both be gone.
//
// A message about a descriptor costs the manager milliseconds, growing with what it stores. So only
// those of jobs that have run for some time are stored, and at most one message about a descriptor
// is sent in a second.
//
// It must never be the last one that closes an end of a pipe, which may stand still for ever
// (workers.h), and with it the whole host. So what it may have stored is held here until it has
// said that it has removed it (sd_notify(3), BARRIER=1: it closes a descriptor of ours once all
// that came before is done).
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

    // A read end is kept from now on, and stays open until it is removed; or came from the store.
    void add(const Mover::Name& name, int pipe, Clock::time_point now);
    void add_stored(const Mover::Name& name);
    // These are its descriptors, which Workers close for this owner, now or later.
    void remove(const Mover::Name& name, std::uint64_t owner, std::vector<UniqueFd> descriptors);

    // This process is about to end: all that are not stored yet are to be, without sparing anybody.
    // False: call it again, the manager does not take more now, or has not done all of it yet.
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
    // Those to be stored, the oldest first; some may be gone.
    std::deque<std::pair<std::string, Clock::time_point>> order_;
    std::deque<std::pair<std::string, Held>> removed_;  // which is not said yet
    std::vector<Held> unasked_;                         // said, and no question followed
    std::vector<Held> asked_;                           // until the answer to it
    UniqueFd answer_;
    bool asked_at_last_ = false;
    Clock::time_point next_;  // not before
};

}  // namespace postern::output
