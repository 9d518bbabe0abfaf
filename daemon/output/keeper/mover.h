// All streams that are kept. They are moved in turns, by threads (workers.h): some bytes of one,
// then the next one, so that a stream that is written to without pause does not keep the others
// waiting.
//
// A stream is looked at when something was written to it, and when what holds it back changes; one
// that nobody writes to costs nothing. A new demand that comes while a thread has the stream counts
// from its next turn on.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/output/keeper/kept_stream.h"
#include "daemon/output/keeper/poll_set.h"
#include "daemon/output/keeper/workers.h"
#include "daemon/output/message.h"
#include "model/job.h"

namespace postern::output {

class Mover {
  public:
    using Clock = Workers::Clock;
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
        // A stream is no longer kept. These are to be closed by Workers, in this order.
        virtual void lets_go(const Name& name, std::uint64_t owner,
                             std::vector<UniqueFd> descriptors) = 0;

      protected:
        ~Listener() = default;
    };

    // All of these outlive it. `null`: /dev/null. It uses numbers from `first_number` on in `poll`.
    Mover(PollSet& poll, Workers& workers, Listener& listener, UniqueFd null)
        : poll_(poll), workers_(workers), listener_(listener), null_(std::move(null)) {}
    Mover(const Mover&) = delete;
    Mover& operator=(const Mover&) = delete;
    // Precondition: no turn is being taken.
    ~Mover() = default;

    static constexpr std::uint64_t first_number = 16;

    // As the messages of these names say. A stream that is not kept is not an error. `descriptors`:
    // read end; file, unless only the guard has it; write end, if there is one. False: one of them
    // is not what it must be, or the kernel can't watch one more; what was kept before stays so.
    bool keep(const Name& name, std::uint64_t owner, std::vector<UniqueFd> descriptors,
              const Demand& demand);
    void watch(const Name& name, const Demand& demand);
    void room(bool some);
    void finish(const JobId& job);
    void forget(const JobId& job);

    // A guard has connected and said this; or there is none any more: from then on all followers
    // count as standing still.
    void guard_came(std::uint64_t window, std::chrono::microseconds stall);
    void guard_went(Clock::time_point now);

    // What the keeper has of a stream, to tell it to a guard. Nothing: it is not kept.
    struct Holding {
        int pipe = -1;
        int file = -1;       // none: -1
        int write_end = -1;  // none: -1
        Demand demand;
        std::chrono::microseconds stall{};  // what is left of it
    };
    [[nodiscard]] std::optional<Holding> holding(const Name& name, Clock::time_point now) const;
    [[nodiscard]] std::deque<Name> names() const;
    // Of a job that has finished, and is not forgotten.
    [[nodiscard]] std::optional<Sizes> finished_sizes(const JobId& job) const;
    [[nodiscard]] std::vector<JobId> finished_jobs() const;

    // An event of this number.
    void happened(std::uint64_t number);
    // When something is to be done without an event.
    [[nodiscard]] std::optional<Clock::time_point> due() const;
    void pass_time(Clock::time_point now);

  private:
    // One of them, and its turns.
    struct Kept final : Workers::Work {
        Kept(Mover& its_mover, Name its_name, std::uint64_t its_number, UniqueFd pipe)
            : mover(its_mover),
              name(std::move(its_name)),
              number(its_number),
              stream(std::move(pipe)) {}
        void begin(Clock::time_point now) override { mover.begin_turn(*this, now); }
        void run() noexcept override;
        void end(Clock::time_point now) override { mover.end_turn(*this, now); }

        Mover& mover;
        const Name name;
        const std::uint64_t number;
        std::uint64_t owner = 0;

        // The thread's while one has it, but for the numbers of its descriptors, which stay.
        KeptStream stream;
        struct {
            std::uint64_t window = 0;
            Relief relief = Relief::wait;
            int null = -1;
            bool skipped = false;
            bool moved = false;
            KeptStream::Step step;
        } turn;

        UniqueFd write_end;  // held, for guards to come
        Demand demand;
        std::uint64_t size = 0;  // as it was at the end of the last turn
        bool waits = false;      // for its turn
        bool away = false;       // a thread has it
        bool again = false;      // another turn is to follow
        bool finishes = false;
        bool forgotten = false;
        // There was no room for its bytes; that was said; and the guard said that there is none to
        // be had.
        bool troubled = false;
        bool told = false;
        bool no_room = false;
        bool retried = false;  // the next turn is because some time has passed
        std::optional<Clock::time_point> floor_until;
    };
    // Without any stream: it has finished.
    struct Job {
        std::array<Kept*, streams> kept{};
        bool finishes = false;
        Sizes sizes{};
        [[nodiscard]] bool has_finished() const { return finishes && !kept[0] && !kept[1]; }
    };

    [[nodiscard]] Kept* find(const Name& name) const;
    bool keep_new(const Name& name, std::uint64_t owner, std::vector<UniqueFd>& descriptors,
                  const Demand& demand);
    static bool take_lacking(Kept& kept, std::vector<UniqueFd>& descriptors);
    void apply(Kept& kept, const Demand& demand);
    void say_grown(Kept& kept);
    void give_turn(Kept& kept);
    void begin_turn(Kept& kept, Clock::time_point now);
    void end_turn(Kept& kept, Clock::time_point now);
    void failed(Kept& kept, int error, Clock::time_point now);
    void recovered(Kept& kept);
    void has_ended(Kept& kept);
    void let_go(Kept& kept);
    void say_if_finished(const JobId& id, const Job& job);
    [[nodiscard]] Relief relief(const Kept& kept, Clock::time_point now) const;
    void let_floors_go(Clock::time_point now);
    void retry();

    PollSet& poll_;
    Workers& workers_;
    Listener& listener_;
    UniqueFd null_;
    std::uint64_t window_ = 0;
    std::chrono::microseconds stall_{};
    std::optional<Clock::time_point> guard_went_;
    std::unordered_map<JobId, Job> jobs_;
    // And those that are forgotten while they wait for a turn, or a thread has them.
    std::map<std::uint64_t, std::unique_ptr<Kept>> by_number_;
    std::uint64_t next_number_ = first_number;
    std::set<std::uint64_t> troubled_;
    std::optional<Clock::time_point> retry_due_;
    std::chrono::milliseconds retry_time_{};
    std::optional<Clock::time_point> floors_due_;
};

}  // namespace postern::output
