// The keeper of what jobs write: its one loop, and what a guard has it do
// (daemon/output/message.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/output/keeper/descriptor_store.h"
#include "daemon/output/keeper/guard_link.h"
#include "daemon/output/keeper/guard_listener.h"
#include "daemon/output/keeper/mover.h"
#include "daemon/output/keeper/pipe_stock.h"
#include "daemon/output/keeper/poll_set.h"
#include "daemon/output/keeper/service_manager.h"
#include "daemon/output/keeper/workers.h"

namespace postern::output {

class Keeper final : private Mover::Listener {
  public:
    struct Parts {
        UniqueFd null;      // /dev/null, for writing
        UniqueFd end_sign;  // readable once the process is to end (signalfd(2))
        // Either the channel (a child of the guard, which ends with it) or the listener (a
        // service).
        UniqueFd channel;
        std::optional<GuardListener> listener;
        ServiceManager manager;
        std::optional<std::chrono::microseconds> watchdog;
        std::vector<std::pair<Mover::Name, UniqueFd>> stored;
    };
    // Errors: the kernel can't watch its descriptors.
    static Result<std::unique_ptr<Keeper>> create(Parts parts);

    // Starts its threads, with the rights that the process has by now.
    Status start() { return workers_->start(); }

    // Until the end. False: the guard, whose child this is, broke the protocol. Afterwards the
    // process must exit without destroying this: a thread may stand still for ever.
    bool run();

    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;
    ~Keeper() = default;

  private:
    using Clock = Mover::Clock;

    Keeper(Parts parts, std::unique_ptr<PollSet> poll, std::unique_ptr<Workers> workers);
    bool watch_all();

    void grown(const Mover::Name& name, std::uint64_t size) override;
    void in_trouble(const Mover::Name& name, int error, std::uint64_t size) override;
    void finished(const JobId& job, const Mover::Sizes& sizes) override;
    void lets_go(const Mover::Name& name, std::uint64_t owner,
                 std::vector<UniqueFd> descriptors) override;

    void step();
    [[nodiscard]] std::optional<Clock::duration> patience() const;
    void take_event(std::uint64_t number);
    void leave();
    void take_guard();
    void listen(bool again);
    void hear_out();
    void let_guard_go(bool heard_out);
    void guard_ended(bool as_it_should);
    void hear();
    // False: it is wrong.
    bool obey(GuardLink::Hearing hearing);
    bool greet(const Message& hello);
    bool keep(GuardLink::Hearing hearing);
    void talk();
    channel::Sent report();
    channel::Sent give_pipes();
    channel::Sent report_kept(const Mover::Name& name);
    channel::Sent report_finished(const JobId& job);
    void tell(const Message& message);
    void pass_time();

    std::unique_ptr<PollSet> poll_;
    std::unique_ptr<Workers> workers_;
    UniqueFd end_sign_;
    std::optional<GuardListener> listener_;
    ServiceManager manager_;
    std::optional<std::chrono::microseconds> watchdog_;
    Clock::time_point next_alive_;
    bool is_ready_ = false;  // and said so
    std::optional<Clock::time_point> listens_again_;
    DescriptorStore store_;

    std::unique_ptr<GuardLink> guard_;
    std::uint32_t guard_events_ = 0;
    bool greeted_ = false;
    std::uint64_t owner_ = 0;       // of the jobs; 0: not known yet
    Clock::time_point guard_went_;  // the one who greeted last
    // Streams, and jobs that have finished.
    std::deque<std::variant<Mover::Name, JobId>> to_report_;
    bool owes_all_kept_ = false;
    // Those for output, and those for input.
    std::array<PipeStock, 2> pipes_{{{Kind::pipe, 0622}, {Kind::input, 0644}}};

    Mover mover_;
    std::optional<bool> end_;
    Clock::time_point now_ = Clock::now();
};

}  // namespace postern::output
