// All streams that are kept, each in its turn: so much of one, then the next one, so that none that
// is written to as fast as can be keeps the others waiting.
//
// A stream is looked at when something was written to it, and when what holds it back changes; one
// that nobody writes to costs nothing.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "base/unique_fd.h"
#include "daemon/output/keeper/kept_stream.h"
#include "daemon/output/keeper/poll_set.h"
#include "daemon/output/message.h"
#include "model/job.h"

namespace postern::output {

class Mover {
  public:
    using Clock = std::chrono::steady_clock;
    using Sizes = std::array<std::uint64_t, streams>;
    struct Name {
        JobId job;
        std::uint8_t stream = 0;
    };

    // Is told of what happens; calls nothing of the mover's in return.
    class Listener {
      public:
        virtual void grown(const Name& name, std::uint64_t size) = 0;
        virtual void in_trouble(const Name& name, int error, std::uint64_t size) = 0;
        virtual void finished(const JobId& job, const Sizes& sizes) = 0;
        // The read end, which is closed after this.
        virtual void lets_go(const Name& name, int pipe) = 0;

      protected:
        ~Listener() = default;
    };

    // Both outlive it. `null`: /dev/null. Numbers in `poll` are its own from `first_number` on.
    Mover(PollSet& poll, Listener& listener, UniqueFd null)
        : poll_(poll), listener_(listener), null_(std::move(null)) {}
    Mover(const Mover&) = delete;
    Mover& operator=(const Mover&) = delete;
    ~Mover() = default;

    static constexpr std::uint64_t first_number = 16;

    // As the messages of these names have it. What is not kept is no error; false: a descriptor is
    // not what it has to be. `file`: none for a stream whose file is with the guard alone.
    bool keep(const Name& name, UniqueFd pipe, UniqueFd file, const Demand& demand);
    void watch(const Name& name, const Demand& demand);
    void room(bool some);
    void finish(const JobId& job);
    void forget(const JobId& job);

    // A guard has connected, who said this; or there is none any more: from then on those who
    // follow are taken to stand still.
    void guard_came(std::uint64_t window, std::chrono::microseconds stall);
    void guard_went(Clock::time_point now);

    // What the keeper has of a stream, to be told to a guard. Nothing: it is not kept.
    struct Holding {
        int pipe = -1;
        int file = -1;  // none: -1
        Demand demand;
        std::chrono::microseconds stall{};  // what is left of it
    };
    [[nodiscard]] std::optional<Holding> holding(const Name& name, Clock::time_point now) const;
    [[nodiscard]] std::deque<Name> names() const;

    // An event of this number.
    void happened(std::uint64_t number);
    // One turn of each stream that has one.
    void serve(Clock::time_point now);
    [[nodiscard]] bool has_turns() const { return !turns_.empty(); }
    // When something is to be done without an event.
    [[nodiscard]] std::optional<Clock::time_point> due() const;
    void pass_time(Clock::time_point now);

  private:
    struct Kept {
        Kept(Name its_name, std::uint64_t its_number, KeptStream its_stream)
            : name(std::move(its_name)), number(its_number), stream(std::move(its_stream)) {}
        Name name;
        std::uint64_t number;
        KeptStream stream;
        bool has_turn = false;
        // There was no room for its bytes; that was said; and the guard said that there is none to
        // be had.
        bool troubled = false;
        bool told = false;
        bool no_room = false;
        bool retried = false;  // this turn is because some time has passed
        std::optional<Clock::time_point> floor_until;
    };
    struct Job {
        std::array<std::optional<Kept>, streams> kept;
        bool finishes = false;
        Sizes sizes{};
    };

    Kept* find(const Name& name);
    void apply(Kept& kept, const Demand& demand);
    void give_turn(Kept& kept);
    void take_turn(Kept& kept, Clock::time_point now);
    void failed(Kept& kept, int error, Clock::time_point now);
    void recovered(Kept& kept);
    void let_go(std::optional<Kept>& kept);
    void end_if_finished(const JobId& job);
    [[nodiscard]] Relief relief(const Kept& kept, Clock::time_point now) const;
    void let_floors_go(Clock::time_point now);
    void retry();

    PollSet& poll_;
    Listener& listener_;
    UniqueFd null_;
    std::uint64_t window_ = 0;
    std::chrono::microseconds stall_{};
    std::optional<Clock::time_point> guard_went_;
    std::unordered_map<JobId, Job> jobs_;
    std::map<std::uint64_t, Kept*> by_number_;
    std::uint64_t next_number_ = first_number;
    std::deque<std::uint64_t> turns_;
    std::set<std::uint64_t> troubled_;
    std::optional<Clock::time_point> retry_due_;
    std::chrono::milliseconds retry_time_{};
    std::optional<Clock::time_point> floors_due_;
};

}  // namespace postern::output
