#include "daemon/guard/listen/late_unit.h"

#include "daemon/guard/listen/identity.h"

namespace postern {

std::optional<std::string> LateUnit::get() const {
    return get(PeerCalls{});
}

std::optional<std::string> LateUnit::get(const PeerCalls& calls) const {
    if (pidfd_) {
        if (auto unit = unit_of_process(pid_, pidfd_.get(), calls)) {
            unit_ = std::make_unique<const std::string>(*std::move(unit));
        }
        pidfd_.reset();
    }
    return unit_ ? std::optional(*unit_) : std::nullopt;
}

}  // namespace postern
