// Whose start is next, and when: the queue of starts without a clock and without jobs.
//
// systemd is one queue for the whole host. With a hundred starts in it the next one takes 4 s (257;
// 25 to 30 ms of PID 1's time a unit), whoever asks. So only few are under way at a time, and the
// others wait here: in turn by owner, and of one owner in the order in which they came.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <vector>

namespace postern::jobs {

struct StartRules {
    static constexpr std::size_t any = std::numeric_limits<std::size_t>::max();
    // How many may be under way: at most so many of all, and one of an owner while a start of
    // another, who has none under way, could be next. One that takes longer than any does by itself
    // does not keep such another waiting: an owner can have all places, and can stop his processes.
    std::size_t at_once = any;
    std::chrono::microseconds patience_of_others = std::chrono::milliseconds(100);
    // Of an owner, in the long run; and in one go after he has started none for a while.
    std::uint64_t per_second = 20;
    std::uint64_t burst = 40;
    // How long one waits before it is refused.
    std::chrono::microseconds patience = std::chrono::seconds(10);
    // A start that takes longer keeps nobody waiting any more: its process waits for something else
    // than systemd (a quota of its own, a slow disk).
    std::chrono::microseconds most_under_way = std::chrono::seconds(2);
};

class StartTurns {
  public:
    using Time = std::chrono::steady_clock::time_point;
    using Id = std::uint64_t;

    explicit StartTurns(const StartRules& rules) : rules_(rules) {}

    // One more that waits. Times never go back from call to call.
    Id add(uid_t owner, Time now);
    // Whether one more of this owner would not have to wait for the rate of his starts.
    [[nodiscard]] bool within_rate(uid_t owner, Time now) const;
    // The one whose turn it is; it is under way from now on. Absent: nobody's.
    std::optional<Id> take(Time now);
    // Those that have waited for too long, and wait no more. `by_rate`: most of
    // that time for the rate of their owner's starts, and not for those of others.
    struct TooLate {
        Id id = 0;
        bool by_rate = false;
    };
    std::vector<TooLate> take_late(Time now);
    // Waits no more, or is not under way any more.
    void remove(Id id);

    // When there is something to take, should nothing else happen. Absent: never.
    [[nodiscard]] std::optional<Time> due(Time now) const;
    [[nodiscard]] std::size_t waiting() const { return waiting_; }
    [[nodiscard]] std::size_t waiting(uid_t owner) const;

  private:
    struct Waiting {
        Id id = 0;
        Time since;
    };
    struct UnderWay {
        Id id = 0;
        uid_t owner = 0;
        Time since;
    };
    struct Owner {
        std::deque<Waiting> waiting;
        std::size_t under_way = 0;
        // When he may start a whole burst again. (A bucket of tokens, as a time.)
        Time full;
        // Until then the bucket had none, the last time that it had none.
        Time none_until;
    };
    using Owners = std::map<uid_t, Owner>;

    [[nodiscard]] std::chrono::microseconds interval() const;
    [[nodiscard]] Time token_at(const Owner& owner) const;
    Owners::iterator next(Time now, bool with_others);
    [[nodiscard]] bool has_place(Time now) const;
    void forget_slow(Time now);
    void let_go(Owners::iterator owner, Time now);

    StartRules rules_;
    Owners owners_;                    // those who start something, or have not long ago
    std::vector<UnderWay> under_way_;  // the oldest first
    std::size_t waiting_ = 0;
    Id next_id_ = 1;
    uid_t last_ = 0;  // whose turn it was last
    Time swept_;
};

}  // namespace postern::jobs
