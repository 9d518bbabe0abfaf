#include "daemon/session/progress.h"

namespace postern::session {

void Progress::queued(std::uint64_t bytes, const Offsets& offsets) {
    if (offsets != (queued_.empty() ? has_ : queued_.back().offsets)) {
        queued_.push_back({bytes, offsets});
    }
}

std::optional<OutputTaken> Progress::sent(std::uint64_t bytes, bool all, Clock::time_point now) {
    while (!queued_.empty() && queued_.front().bytes <= bytes) {
        has_ = queued_.front().offsets;
        queued_.pop_front();
    }
    const std::uint64_t untold = (has_[0] - told_[0]) + (has_[1] - told_[1]);
    const bool whole = all && queued_.empty();
    const bool due = untold >= step || whole || now - told_at_ >= patience;
    if (untold == 0 || !due) return std::nullopt;
    told_at_ = now;
    told_ = has_;
    return OutputTaken{has_[0], has_[1]};
}

}  // namespace postern::session
