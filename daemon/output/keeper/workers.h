// Threads for calls that may stand still for ever, and that nothing can end.
//
// Whoever writes into a pipe holds its lock while the kernel reads the bytes out of the writer's
// memory, which may be a file of a file system that never answers (FUSE, NFS). Until then
// splice(2), ioctl(2) with FIONREAD, fcntl(2) with F_GETPIPE_SZ and the last close(2) of either end
// wait for that lock, where not even SIGKILL reaches them. A job's pipe is open to every process of
// the job's user. So the loop never makes such a call: these threads do, and one that stands still
// is left alone.
//
// Each piece of work belongs to an owner. Owners take turns, and the work of one is done in its
// order: however much one has, another's is next. Only a few pieces of one owner are begun at a
// time, so that nobody can occupy all threads. And only a few are begun altogether, as there are
// few processors; those that were begun long ago stand still and do not count.
//
// Only `run` is called by a thread; everything else belongs to the loop.
#pragma once

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/output/keeper/poll_set.h"

namespace postern::output {

class Workers {
  public:
    using Clock = std::chrono::steady_clock;

    static constexpr std::size_t threads = 32;
    // Of a keeper that a guard started, and whose user may be its sessions' as well: threads count
    // against RLIMIT_NPROC.
    static constexpr std::size_t threads_of_child = 8;
    static constexpr std::size_t most_of_owner = 2;
    static constexpr std::size_t most_fresh = 4;
    static constexpr std::chrono::milliseconds fresh{50};

    // From begin() until end(), what `run` uses belongs to the thread, and nobody else touches it.
    class Work {
      public:
        virtual void begin(Clock::time_point now) = 0;
        virtual void run() noexcept = 0;
        // It may be added again, or destroyed.
        virtual void end(Clock::time_point now) = 0;

        Work() = default;
        Work(const Work&) = delete;
        Work& operator=(const Work&) = delete;

      protected:
        ~Work() = default;
    };

    // `poll` outlives it: an event of this number is for take_done(). `most`: threads. Errors: of
    // eventfd(2) or epoll_ctl(2).
    static Result<std::unique_ptr<Workers>> create(PollSet& poll, std::uint64_t number,
                                                   std::size_t most = threads);
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;
    // Waits for what was begun. Where that may stand still it must not be destroyed.
    ~Workers();

    // The threads are there when it returns, those that are to be had, and wait. They have what
    // rights and signal mask the caller has, and start no other: the list of system calls is set
    // after this.
    Status start();

    // Not while it waits already, or is begun. It outlives that.
    void add(std::uint64_t owner, Work& work);
    // Closes these in their order.
    void close(std::uint64_t owner, std::vector<UniqueFd> descriptors);

    // Begins what may begin.
    void serve(Clock::time_point now);
    // What threads have done ends.
    void take_done(Clock::time_point now);
    // When serve() is to be called without an event.
    [[nodiscard]] std::optional<Clock::time_point> due(Clock::time_point now) const;
    // How much was begun not long ago; and altogether.
    [[nodiscard]] std::size_t count_fresh(Clock::time_point now) const;
    [[nodiscard]] std::size_t count_begun() const { return begun_.size(); }
    [[nodiscard]] bool has_waiting() const { return !turns_.empty(); }

  private:
    struct Begun {
        Work* work;
        std::uint64_t owner;
        Clock::time_point since;
    };
    struct Owner {
        std::deque<Work*> waiting;
        std::size_t begun = 0;
    };
    // Descriptors that are closed.
    class Closing final : public Work {
      public:
        Closing(Workers& workers, std::vector<UniqueFd> descriptors);
        void begin(Clock::time_point) override {}
        void run() noexcept override;
        void end(Clock::time_point now) override;

      private:
        Workers& workers_;
        std::vector<UniqueFd> descriptors_;
    };

    Workers(PollSet& poll, std::uint64_t number, std::size_t most, UniqueFd sign);
    static void* thread(void* workers);
    void work();
    std::optional<std::uint64_t> next_owner();

    PollSet& poll_;
    std::uint64_t number_;
    std::size_t most_;  // threads
    // Always readable. A thread wakes the loop by having it watched once more, which takes neither
    // read(2) nor write(2).
    UniqueFd sign_;
    std::map<std::uint64_t, Owner> owners_;
    std::deque<std::uint64_t> turns_;  // of owners who have something waiting
    std::vector<Begun> begun_;         // the oldest first
    std::list<Closing> closing_;
    std::vector<pthread_t> threads_;

    std::mutex mutex_;
    // Of the threads and the loop, by the mutex. No thread allocates memory: there is always room.
    std::condition_variable begins_;
    std::condition_variable started_;
    std::vector<Work*> to_run_;
    std::vector<Work*> done_;
    std::size_t running_threads_ = 0;
    bool ends_ = false;
};

}  // namespace postern::output
