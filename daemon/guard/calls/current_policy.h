// Before anything is decided: is what is in force what stands in the action directories? A call
// that finds it is not waits until they have been read, in turn by owner, and is decided by what
// was read after it came. So what was taken away grants nothing any more, and what is new can be
// run at once.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "daemon/guard/calls/call_context.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/turns.h"

namespace postern {

class CurrentPolicy {
  public:
    using Clock = std::chrono::steady_clock;
    using Names = std::set<std::string, std::less<>>;
    // What it asks of the PolicyStore, of which these are members.
    struct Hooks {
        std::function<bool(const std::string& action)> is_current;
        std::function<std::uint64_t()> look;
    };
    // For so long a call waits at most.
    static constexpr std::chrono::seconds patience{3};

    // How many calls wait of one owner, and in all.
    struct Bounds {
        std::size_t of_owner = 0;
        std::size_t all = 0;
    };
    // `turns` outlives it.
    CurrentPolicy(sd_event* event, Turns& turns, Bounds bounds, Hooks hooks);
    ~CurrentPolicy();
    CurrentPolicy(const CurrentPolicy&) = delete;
    CurrentPolicy& operator=(const CurrentPolicy&) = delete;

    // As far as this action goes; where it is empty, all of them.
    [[nodiscard]] bool is_current(const std::string& action) { return hooks_.is_current(action); }

    // Precondition: it is not. `done` is called later, unless the caller leaves: true, decide now;
    // false: the call is refused, and over. The connection keeps the call meanwhile. `until`: not
    // later than that; it is set where it is not.
    void wait(const CallPtr& call, const std::string& action, Clock::time_point& until,
              std::function<void(bool current)> done);

    // What a load that began after `request` came to, once its snapshot is in force. `worked`: it
    // could be read. `restless`: by these nothing is decided yet, and another load follows.
    void loaded(std::uint64_t request, bool worked, const Names& restless);
    // Those that wait are refused.
    void close();

    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

  private:
    enum class End : std::uint8_t { pending, current, late, unreadable, closing };
    using Ticket = std::uint64_t;
    struct Waiting;
    class Kept;

    Turns::Step step(Ticket ticket);
    void end(Waiting& one, End how);
    void arm();
    void on_time();
    static void refuse(CallContext& call, const std::string& action, const char* reason,
                       const char* message, Refusal refusal = Refusal::unavailable);

    Turns& turns_;
    Bounds bounds_;
    Hooks hooks_;
    std::map<Ticket, std::unique_ptr<Waiting>> waiting_;  // in the order in which they came
    Ticket last_ = 0;
    Timer timer_;
};

}  // namespace postern
