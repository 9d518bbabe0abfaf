#include "daemon/guard/audit/denial_window.h"

namespace postern {

bool DenialWindow::single(uid_t uid, gid_t gid, std::uint8_t kind, Time now) {
    std::tuple key{uid, gid, kind};
    if (windows_.size() >= most_windows && !windows_.contains(key)) {
        key = {static_cast<uid_t>(-1), static_cast<gid_t>(-1), kind};
    }
    Window& window = windows_.try_emplace(key, Window{now}).first->second;
    if (window.singles < most_single) {
        ++window.singles;
        return true;
    }
    ++window.summed;
    return false;
}

std::vector<DenialWindow::Sum> DenialWindow::ended(Time now) {
    std::vector<Sum> sums;
    for (auto it = windows_.begin(); it != windows_.end();) {
        const auto& [key, window] = *it;
        if (now < window.began + length) {
            ++it;
            continue;
        }
        if (window.summed > 0) {
            const auto [uid, gid, kind] = key;
            sums.push_back({uid, gid, kind, window.summed});
        }
        it = windows_.erase(it);
    }
    return sums;
}

}  // namespace postern
