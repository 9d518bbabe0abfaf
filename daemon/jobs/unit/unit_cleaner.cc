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
      timer_(
          event, [this] { look(); }, std::chrono::milliseconds(1)),
      self_(std::make_shared<UnitCleaner*>(this)) {}

void UnitCleaner::add(std::string unit, bool has_failed) {
    if (waiting_.empty()) {
        due_ = steady_clock::now() + longest_wait - busy_interval;
        static_cast<void>(timer_.arm(cleaning_delay));
    }
    waiting_.push_back({std::move(unit), has_failed});
    if (waiting_.size() == most_waiting) static_cast<void>(timer_.arm(std::chrono::seconds(0)));
}

void UnitCleaner::await(const std::string& unit, UnitView view, bool missed) {
    awaited_.insert_or_assign(unit, std::move(view));
    if (missed) look_at(unit);
    judge(unit);
}

void UnitCleaner::judge(const std::string& unit) {
    const auto entry = awaited_.find(unit);
    const UnitView::Phase phase = entry->second.phase();
    if (phase < UnitView::Phase::over) return;
    const bool has_failed = entry->second.state().active == "failed";
    awaited_.erase(entry);
    if (phase == UnitView::Phase::over) add(unit, has_failed);
}

bool UnitCleaner::changed(const std::string& unit, Told told, const UnitNews& news) {
    const auto entry = awaited_.find(unit);
    if (entry == awaited_.end()) return false;
    entry->second.take(news);
    if (told == Told::removed) entry->second.removed();
    // Of a change that is told in two halves, the service's comes first.
    if (told != Told::changed || news.active) judge(unit);
    return true;
}

void UnitCleaner::look_at_awaited() {
    for (const auto& [unit, view] : awaited_) look_at(unit);
}

// What was told meanwhile is newer, and if it is not over then, more will be told.
void UnitCleaner::look_at(const std::string& unit) {
    services_.state(unit, [weak = std::weak_ptr<UnitCleaner*>(self_),
                           unit](const std::optional<UnitState>& state) {
        const auto self = weak.lock();
        // Without an answer there is another connection soon, and another look.
        if (!self || !state) return;
        const auto entry = (*self)->awaited_.find(unit);
        if (entry == (*self)->awaited_.end()) return;
        entry->second.take(*state);
        (*self)->judge(unit);
    });
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
