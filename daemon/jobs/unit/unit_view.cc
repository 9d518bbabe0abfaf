#include "daemon/jobs/unit/unit_view.h"

#include <utility>

namespace postern::jobs {
namespace {

template <typename Value>
void take_if_told(Value& known, const std::optional<Value>& told) {
    if (told) known = *told;
}

}  // namespace

// What is known of the end of its process is only added to: who resets a failed unit makes its
// result a success.
void UnitView::take_end(std::int32_t code, std::int32_t status, const std::string& result) {
    if (code != 0) {
        state_.main_code = code;
        state_.main_status = status;
    }
    if (!result.empty() && (state_.result.empty() || result != "success")) state_.result = result;
}

void UnitView::take(const UnitNews& news) {
    take_if_told(state_.active, news.active);
    take_if_told(state_.sub, news.sub);
    take_if_told(state_.active_since, news.active_since);
    take_if_told(has_job_, news.has_job);
    take_if_told(main_pid_, news.main_pid);
    take_if_told(state_.main_started, news.main_started);
    take_if_told(state_.executed, news.executed);
    take_end(news.main_code.value_or(0), news.main_status.value_or(0), news.result.value_or(""));
}

void UnitView::take(const UnitState& looked) {
    if (looked.load == "not-found") return removed();
    const UnitState before = std::exchange(state_, looked);
    take_end(before.main_code, before.main_status, before.result);
    // It may have been stopped while it was looked at.
    if (state_.main_code != 0 && looked.active_afterwards == "inactive") state_.active = "inactive";
}

void UnitView::take(const UnitUsage& usage) {
    if (usage.cpu) state_.usage.cpu = usage.cpu;
    if (usage.memory_peak_bytes) state_.usage.memory_peak_bytes = usage.memory_peak_bytes;
}

UnitView::Phase UnitView::phase() const {
    if (removed_) return Phase::gone;
    const std::string_view active = state_.active;
    if (active.empty()) return Phase::unseen;
    if (active == "inactive") {
        // As long as it waits for its turn it is inactive as well, and also when it has a process
        // of which nothing else was told yet.
        const bool was_there =
            state_.main_code != 0 || (state_.active_since.count() != 0 && !has_job_);
        return was_there ? Phase::gone : Phase::queued;
    }
    if (active == "failed") return Phase::over;
    if (active == "activating") return Phase::starting;
    // Though the end of its main process may be known: others are still ended.
    if (active == "deactivating") return Phase::ending;
    if (state_.sub == "exited") return Phase::over;
    return state_.main_code != 0 ? Phase::left_behind : Phase::running;
}

}  // namespace postern::jobs
