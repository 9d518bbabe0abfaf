#include "daemon/guard/listen/late_unit.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>

#include "daemon/guard/listen/identity.h"

namespace postern {

int LateUnit::highest_pinning() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    constexpr rlim_t most = std::numeric_limits<int>::max();
    return static_cast<int>(std::min(limit.rlim_cur, most) / 2);
}

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
