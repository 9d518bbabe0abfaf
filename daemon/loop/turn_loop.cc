#include "daemon/loop/turn_loop.h"

#include <chrono>

namespace postern {

TurnLoop::TurnLoop(sd_event* event)
    : event_(event),
      turns_([] { return std::chrono::steady_clock::now().time_since_epoch(); },
             [this] {
                 if (!running_) run_later();
             }) {}

Result<std::unique_ptr<TurnLoop>> TurnLoop::create(sd_event* event) {
    std::unique_ptr<TurnLoop> loop(new TurnLoop(event));
    POSTERN_TRY(loop->ready_, ReadySet::create(event, [raw = loop.get()] { raw->run(); }));
    return loop;
}

void TurnLoop::run() {
    running_ = true;
    ready_->dispatch();
    // Else what is ready now would give turns once more than the others in the loop get.
    if (!later_) turns_.run();
    running_ = false;
    if (!later_ && turns_.has_work()) run_later();
}

// Where there is no memory for it, the next that is ready takes this with it.
void TurnLoop::run_later() {
    (void)add_defer(event_, later_, [this] {
        later_.reset();
        run();
    });
}

}  // namespace postern
