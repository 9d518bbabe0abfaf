#include "daemon/jobs/unit/unit_cleaner.h"

#include <utility>

namespace postern::jobs {
namespace {

using std::chrono::steady_clock;

// The answers of those that wait for the end of their job go first.
constexpr std::chrono::milliseconds cleaning_delay{5};
// How often it is looked whether systemd still has something else to do.
constexpr std::chrono::milliseconds busy_interval{100};

}  // namespace

UnitCleaner::UnitCleaner(sd_event* event, ServiceManager& services, std::function<bool()> is_busy)
    : services_(services),
      is_busy_(std::move(is_busy)),
      timer_(event, [this] { look(); }, std::chrono::milliseconds(1)) {}

void UnitCleaner::add(std::string unit, bool has_failed) {
    if (waiting_.empty()) {
        due_ = steady_clock::now() + longest_wait - busy_interval;
        static_cast<void>(timer_.arm(cleaning_delay));
    }
    waiting_.push_back({std::move(unit), has_failed});
    if (waiting_.size() == most_waiting) static_cast<void>(timer_.arm(std::chrono::seconds(0)));
}

void UnitCleaner::await(std::string unit, UnitView view) {
    if (!is_over(unit, view)) awaited_.emplace(std::move(unit), std::move(view));
}

bool UnitCleaner::is_over(const std::string& unit, const UnitView& view) {
    const auto phase = view.phase();
    if (phase == UnitView::Phase::over) add(unit, view.state().active == "failed");
    return phase >= UnitView::Phase::over;
}

bool UnitCleaner::changed(const std::string& unit, Told told, const UnitNews& news) {
    const auto entry = awaited_.find(unit);
    if (entry == awaited_.end()) return false;
    entry->second.take(news);
    if (told == Told::removed) entry->second.removed();
    // Of a change that is told in two halves, the service's comes first.
    const bool is_half = told == Told::changed && !news.active;
    if (!is_half && is_over(unit, entry->second)) awaited_.erase(entry);
    return true;
}

// Those that are over by now are found by who looks for such units; the others are over at once.
void UnitCleaner::reconnected() {
    for (const auto& [unit, view] : std::exchange(awaited_, {})) {
        add(unit, view.state().main_status != 0);
    }
}

void UnitCleaner::look() {
    if (is_busy_() && waiting_.size() < most_waiting && steady_clock::now() < due_) {
        static_cast<void>(timer_.arm(busy_interval));
        return;
    }
    for (const Waiting& one : std::exchange(waiting_, {})) {
        services_.forget(one.unit, one.has_failed);
    }
}

}  // namespace postern::jobs
