#include "daemon/jobs/direct/launcher_stock.h"

#include <utility>

namespace postern::jobs {
namespace {

// A launcher more or less for a while is nothing.
constexpr std::chrono::seconds wait_accuracy{1};

}  // namespace

LauncherStock::LauncherStock(sd_event* event, const Settings& settings)
    : event_(event), settings_(settings), timer_(event, [this] { look(); }, wait_accuracy) {}

// They leave as their control sockets close; but whoever may go on without this should not find
// zombies.
LauncherStock::~LauncherStock() {
    for (Launched& launched : waiting_) end_launcher(std::move(launched));
}

std::optional<Launched> LauncherStock::take() {
    if (waiting_.empty()) return std::nullopt;
    Launched taken = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    return taken;
}

void LauncherStock::ran() {
    last_job_ = Clock::now();
    if (waiting_.size() + wanted_ >= settings_.most) return;
    if (idle_) {
        (void)sd_event_source_set_enabled(idle_.get(), SD_EVENT_ONESHOT);
    } else if (add_defer(event_, idle_, [this] { add_one(); }) < 0) {
        return;
    }
    // While there is anything else to do, nobody's answer waits for this.
    (void)sd_event_source_set_priority(idle_.get(), SD_EVENT_PRIORITY_IDLE);
    ++wanted_;
}

void LauncherStock::add_one() {
    if (--wanted_ > 0) (void)sd_event_source_set_enabled(idle_.get(), SD_EVENT_ONESHOT);
    auto started = start_launcher(*settings_.spawner, settings_.program);
    // The next job starts its own, and has to tell if it can't.
    if (!started) return;
    waiting_.push_back(std::move(*started));
    if (!watches_) watches_ = timer_.arm(settings_.wait) == 0;
}

void LauncherStock::look() {
    watches_ = false;
    if (waiting_.empty()) return;
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
        last_job_ + settings_.wait - Clock::now());
    if (left.count() > 0) {
        watches_ = timer_.arm(left) == 0;
        return;
    }
    for (Launched& launched : std::exchange(waiting_, {})) end_launcher(std::move(launched));
}

}  // namespace postern::jobs
