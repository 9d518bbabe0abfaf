#include "daemon/jobs/unit/spare_places.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

namespace postern::jobs {

// Follows links, as systemd does.
std::optional<SparePlaces::Identity> SparePlaces::identity_of(const std::string& path) {
    struct statx found{};
    if (statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
              STATX_INO | STATX_BTIME | STATX_CTIME, &found) < 0) {
        return std::nullopt;
    }
    // Where the file system does not know when it was made, any change of it counts.
    const statx_timestamp& time =
        (found.stx_mask & STATX_BTIME) != 0 ? found.stx_btime : found.stx_ctime;
    return Identity{makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino, time.tv_sec,
                    time.tv_nsec};
}

std::optional<SparePlaces> SparePlaces::of(const std::vector<std::string>& paths) {
    SparePlaces places;
    for (const std::string& path : paths) {
        const auto identity = identity_of(path);
        if (!identity) return std::nullopt;
        places.places_.emplace_back(path, *identity);
    }
    return places;
}

bool SparePlaces::are_the_same() const {
    return std::ranges::all_of(
        places_, [](const auto& place) { return identity_of(place.first) == place.second; });
}

}  // namespace postern::jobs
