// Which read ends the service manager holds for us, should keeper and guard both be gone.
//
// A message about a descriptor costs the manager milliseconds, growing with what it stores. So only
// those of jobs that have run for some time are stored, and at most one message is sent in a
// second.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "daemon/output/keeper/mover.h"
#include "daemon/output/keeper/service_manager.h"

namespace postern::output {

class DescriptorStore {
  public:
    using Clock = std::chrono::steady_clock;

    // `manager` outlives it.
    explicit DescriptorStore(const ServiceManager& manager) : manager_(manager) {}
    DescriptorStore(const DescriptorStore&) = delete;
    DescriptorStore& operator=(const DescriptorStore&) = delete;
    ~DescriptorStore() = default;

    // The name of a stream in the store, and back; nothing: it is not one of ours.
    static std::string name_of(const Mover::Name& name);
    static std::optional<Mover::Name> parse(const std::string& name);

    // A read end is kept from now on, and stays open until it is let go; or came from the store.
    void add(const Mover::Name& name, int pipe, Clock::time_point now);
    void add_stored(const Mover::Name& name);
    void remove(const Mover::Name& name);

    // All that are not stored yet, without sparing anybody: this process is about to end.
    void store_all();

    [[nodiscard]] std::optional<Clock::time_point> due() const;
    void pass_time(Clock::time_point now);

  private:
    struct Entry {
        int pipe = -1;  // where it is not stored yet
        Clock::time_point since;
    };

    [[nodiscard]] bool has_work() const { return !removed_.empty() || !order_.empty(); }
    void skip_removed();

    const ServiceManager& manager_;
    std::map<std::string, Entry> entries_;
    // Those to be stored, the oldest first; some may be gone.
    std::deque<std::pair<std::string, Clock::time_point>> order_;
    std::deque<std::string> removed_;
    Clock::time_point next_;  // not before
};

}  // namespace postern::output
