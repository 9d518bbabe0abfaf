#include "daemon/loop/turns.h"

#include <algorithm>
#include <utility>

namespace postern {

struct Turns::Task::State {
    uid_t owner;
    std::function<Step()> step;
    bool queued = false;
    bool let_go = false;
};

Turns::Task::Task(Turns& turns, uid_t owner, std::function<Step()> step)
    : turns_(turns), state_(std::make_shared<State>(State{owner, std::move(step)})) {}

Turns::Task::~Task() {
    state_->let_go = true;
}

void Turns::Task::ready() {
    turns_.add(state_);
}

struct Turns::Late::State {
    std::function<void()> what;
    bool wanted = false;
    bool let_go = false;
};

Turns::Late::Late(Turns& turns, std::function<void()> what)
    : turns_(turns), state_(std::make_shared<State>(State{std::move(what)})) {}

Turns::Late::~Late() {
    state_->let_go = true;
}

void Turns::Late::wanted() {
    if (!turns_.running_) return state_->what();
    if (!std::exchange(state_->wanted, true)) turns_.late_.push_back(state_);
}

Turns::Turns(Clock clock, std::function<void()> work)
    : clock_(std::move(clock)), work_(std::move(work)) {}

void Turns::add(std::shared_ptr<Task::State> task) {
    if (std::exchange(task->queued, true)) return;
    const uid_t uid = task->owner;
    const auto [owner, is_new] = owners_.try_emplace(uid);
    if (is_new) fresh_.push_back(uid);
    owner->second.queue.push_back(std::move(task));
    if (waiting_++ == 0 && !running_) work_();
}

void Turns::run() {
    running_ = true;
    const auto until = clock_() + turn_time;
    while (has_work()) {
        serve_next();
        if (clock_() >= until) break;
    }
    running_ = false;
    for (const auto& late : std::exchange(late_, {})) {
        late->wanted = false;
        if (!late->let_go) late->what();
    }
    if (has_work()) return;
    // Debts are to nobody.
    owners_.clear();
    fresh_.clear();
    round_.clear();
}

// Precondition: has_work(), so somebody's debt is paid in the end.
void Turns::serve_next() {
    for (;;) {
        std::deque<uid_t>& list = fresh_.empty() ? round_ : fresh_;
        const uid_t uid = list.front();
        list.pop_front();
        Owner& owner = owners_.at(uid);
        owner.credit = std::min(owner.credit + turn_time, turn_time);
        const bool serves = owner.credit.count() > 0 && !owner.queue.empty();
        if (serves) serve(owner);
        // Who was served stays for one more round, even without work: only who leaves a turn out
        // comes first again.
        const bool stays =
            !owner.queue.empty() || owner.credit.count() < 0 || (serves && !round_.empty());
        if (stays) {
            round_.push_back(uid);
        } else {
            owners_.erase(uid);
        }
        if (serves) return;
    }
}

void Turns::serve(Owner& owner) {
    const auto began = clock_();
    std::chrono::nanoseconds used{0};
    std::size_t bytes = 0;
    for (std::size_t messages = 0; messages < turn_messages && bytes < turn_bytes &&
                                   used < owner.credit && !owner.queue.empty();
         ++messages) {
        const std::shared_ptr<Task::State> task = std::move(owner.queue.front());
        owner.queue.pop_front();
        --waiting_;
        task->queued = false;
        if (task->let_go) continue;
        const Step step = task->step();
        if (step.more && !task->let_go) add(task);
        bytes += step.bytes;
        used = clock_() - began;
    }
    owner.credit = std::max(owner.credit - used, -most_debt);
}

}  // namespace postern
