#include "daemon/guard/audit/denial_window.h"

namespace postern {

bool DenialWindow::single(uid_t uid, gid_t gid, std::uint8_t kind, Time now) {
    std::pair key{uid, kind};
    if (windows_.size() >= most_windows && !windows_.contains(key)) {
        key.first = static_cast<uid_t>(-1);
        gid = static_cast<gid_t>(-1);
    }
    Window& window = windows_.try_emplace(key, Window{now, gid}).first->second;
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
            sums.push_back({key.first, window.gid, key.second, window.summed});
        }
        it = windows_.erase(it);
    }
    return sums;
}

}  // namespace postern
