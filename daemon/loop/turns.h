// Whose turn it is: what the loop does for its users, in turn by owner.
//
// An owner is whoever pays for what is done (a uid). All that waits for one owner has one queue,
// however many sessions it has, and owners are served one after the other: each for a millisecond,
// 64 KiB or 16 messages. Who used more, because a single step can take longer, is in debt: it is
// passed over until it has paid, except while nobody else waits (deficit round robin, Shreedhar
// and Varghese 1995). An owner that left a turn out comes before those that
// always have something (as in RFC 8290, section 4.2).
//
// Pure: the time comes from outside, and run() is called by whoever has the loop (turn_loop.h).
// One thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

namespace postern {

class Turns {
  public:
    // What one owner gets at a time, and, of `time`, all owners together in one run().
    static constexpr std::chrono::nanoseconds turn_time = std::chrono::milliseconds(1);
    static constexpr std::size_t turn_bytes = std::size_t{64} * 1024;
    static constexpr std::size_t turn_messages = 16;

    // The most that one is in debt, so that nobody pays long for the machine having stood still.
    static constexpr std::chrono::nanoseconds most_debt = 64 * turn_time;

    // The time that passes for those who wait (CLOCK_MONOTONIC): a step that waits for a file
    // system or for a process to start keeps them waiting like one that computes.
    using Clock = std::function<std::chrono::nanoseconds()>;
    // `work`: called when there is something to do, where there was nothing; not from inside of
    // run(), after which has_work() says so.
    Turns(Clock clock, std::function<void()> work);
    ~Turns() = default;
    Turns(const Turns&) = delete;
    Turns& operator=(const Turns&) = delete;

    // What a step came to.
    struct Step {
        std::size_t bytes = 0;  // that it took in
        bool more = false;      // there is another one to do, as after Task::ready()
    };

    // Something that now and then has something to do. What it does is done in its own order.
    class Task {
      public:
        // `step` does one thing, and not for long. It may let its task go, and may call ready() of
        // any. `turns` outlives this.
        Task(Turns& turns, uid_t owner, std::function<Step()> step);
        // Its step is not called again.
        ~Task();
        Task(const Task&) = delete;
        Task& operator=(const Task&) = delete;

        // There is something to do: `step` is called in a turn of its owner, once however often
        // this is said before.
        void ready();

      private:
        friend Turns;
        struct State;
        Turns& turns_;
        std::shared_ptr<State> state_;
    };

    // What is done once for all that the steps of one run() have gathered for it.
    class Late {
      public:
        // `turns` outlives this. `what` does little, and is nobody's turn.
        Late(Turns& turns, std::function<void()> what);
        // It is not done any more.
        ~Late();
        Late(const Late&) = delete;
        Late& operator=(const Late&) = delete;

        // `what` is called at the end of this run(), or at once where none is under way.
        void wanted();

      private:
        friend Turns;
        struct State;
        Turns& turns_;
        std::shared_ptr<State> state_;
    };

    // Serves owners for turn_time, longer by no more than one step.
    void run();
    // Whether anything is to be done.
    [[nodiscard]] bool has_work() const { return waiting_ > 0; }

  private:
    using Queue = std::deque<std::shared_ptr<Task::State>>;
    struct Owner {
        Queue queue;
        std::chrono::nanoseconds credit{0};  // negative: it is in debt
    };

    void add(std::shared_ptr<Task::State> task);
    void serve_next();
    void serve(Owner& owner);

    Clock clock_;
    std::function<void()> work_;
    std::size_t waiting_ = 0;  // in all queues
    std::vector<std::shared_ptr<Late::State>> late_;
    bool running_ = false;
    // Those with work or in debt, or that were served in this round; each in one of the lists.
    std::unordered_map<uid_t, Owner> owners_;
    std::deque<uid_t> fresh_;  // had no work when it came: before the others
    std::deque<uid_t> round_;
};

}  // namespace postern
