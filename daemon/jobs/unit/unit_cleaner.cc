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
