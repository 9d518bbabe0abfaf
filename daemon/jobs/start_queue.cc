#include "daemon/jobs/start_queue.h"

#include <cassert>
#include <chrono>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/loop/event_source.h"

namespace postern::jobs {

using std::chrono::microseconds;
using std::chrono::steady_clock;

namespace {

// How often it is asked whether those that are held may go on.
constexpr std::chrono::milliseconds hold_interval{10};

}  // namespace

struct StartQueue::State : std::enable_shared_from_this<State> {
    State(sd_event* event, const StartRules& rules, std::function<bool()> begins)
        : turns(rules),
          may_begin(std::move(begins)),
          soon(std::in_place, event, [this] { turn(); }),
          timer(std::in_place, event, [this] { turn(); }, microseconds(1)) {}

    void turn();
    void refuse_late();
    void forget(Ticket ticket);
    // For when there is something to do.
    void arm();

    StartTurns turns;
    std::function<bool()> may_begin;
    bool held = false;  // as it said last
    struct Waiting {
        uid_t owner;
        Start start;
    };
    std::map<Ticket, Waiting> waiting;
    bool closed = false;
    // None once the queue is gone.
    std::optional<Soon> soon;
    std::optional<Timer> timer;
};

namespace {

template <typename State>
class HeldPlace {
  public:
    HeldPlace(std::weak_ptr<State> state, StartQueue::Ticket ticket)
        : state_(std::move(state)), ticket_(ticket) {}
    ~HeldPlace() {
        if (const auto state = state_.lock()) state->forget(ticket_);
    }
    HeldPlace(const HeldPlace&) = delete;
    HeldPlace& operator=(const HeldPlace&) = delete;

  private:
    std::weak_ptr<State> state_;
    StartQueue::Ticket ticket_;
};

}  // namespace

void StartQueue::State::arm() {
    if (!timer || !soon) return;
    const auto now = steady_clock::now();
    const auto due = turns.due(now);
    if (!due) return timer->disarm();
    if (held) return static_cast<void>(timer->arm(hold_interval));
    if (*due <= now && soon->ask() == 0) return;
    static_cast<void>(timer->arm(std::chrono::ceil<microseconds>(*due - now)));
}

void StartQueue::State::forget(Ticket ticket) {
    turns.remove(ticket);
    arm();
}

void StartQueue::State::refuse_late() {
    for (const StartTurns::TooLate& late : turns.take_late(steady_clock::now())) {
        const auto node = waiting.extract(late.id);
        const Refusal why = late.by_rate ? Refusal::rate : held ? Refusal::held : Refusal::busy;
        if (node) node.mapped().start.refuse(why);
    }
}

void StartQueue::State::turn() {
    held = turns.waiting() > 0 && !may_begin();
    refuse_late();
    if (held) return arm();
    if (const auto next = turns.take(steady_clock::now())) {
        const auto node = waiting.extract(*next);
        node.mapped().start.begin(std::make_shared<HeldPlace<State>>(weak_from_this(), *next));
    }
    arm();
}

StartQueue::StartQueue(sd_event* event, const StartRules& rules, std::function<bool()> may_begin)
    : state_(std::make_shared<State>(event, rules, std::move(may_begin))) {}

StartQueue::~StartQueue() {
    state_->soon.reset();
    state_->timer.reset();
    // What goes with them may ask for it.
    const auto dropped = std::exchange(state_->waiting, {});
}

StartQueue::Ticket StartQueue::add(uid_t owner, Start start) {
    assert(!state_->closed);
    const Ticket ticket = state_->turns.add(owner, steady_clock::now());
    state_->waiting.emplace(ticket, State::Waiting{owner, std::move(start)});
    state_->arm();
    return ticket;
}

bool StartQueue::within_rate(uid_t owner) const {
    return state_->turns.within_rate(owner, steady_clock::now());
}

void StartQueue::remove(Ticket ticket) {
    const auto dropped = state_->waiting.extract(ticket);
    if (dropped) state_->forget(ticket);
}

std::size_t StartQueue::waiting() const {
    return state_->turns.waiting();
}

std::size_t StartQueue::waiting(uid_t owner) const {
    return state_->turns.waiting(owner);
}

void StartQueue::wake() {
    state_->held = false;
    state_->arm();
}

void StartQueue::cancel(const std::function<bool(uid_t owner)>& of) {
    std::vector<Start> refused;
    for (auto next = state_->waiting.begin(); next != state_->waiting.end();) {
        const auto one = next++;
        if (!of(one->second.owner)) continue;
        state_->turns.remove(one->first);
        refused.push_back(std::move(one->second.start));
        state_->waiting.erase(one);
    }
    state_->arm();
    for (const Start& start : refused) start.refuse(Refusal::cancelled);
}

void StartQueue::close() {
    state_->closed = true;
    const auto refused = std::exchange(state_->waiting, {});
    for (const auto& [ticket, one] : refused) state_->turns.remove(ticket);
    state_->arm();
    for (const auto& [ticket, one] : refused) one.start.refuse(Refusal::closing);
}

bool StartQueue::closed() const {
    return state_->closed;
}

}  // namespace postern::jobs
