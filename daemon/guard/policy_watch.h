// inotify(7) on the directories that the policy is read from. It only makes a change be seen
// earlier: what it misses (a mount, an overflow, a directory that was made anew) is found by
// comparing.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace postern {

class PolicyWatch {
  public:
    // Those that say who is who (people_reader.h), by their names in LoadOptions::system_settings.
    static constexpr std::array<std::string_view, 6> people_files = {
        "group", "login.defs", "nsswitch.conf", "passwd", "subgid", "subuid"};

    // Watches `settings` already. Its descriptor is shared with the thread that reads, and may
    // outlive us. Without one (sees_changes()) nothing is seen.
    explicit PolicyWatch(const std::string& settings);

    [[nodiscard]] bool sees_changes() const { return settings_ >= 0; }
    [[nodiscard]] int descriptor() const { return changes_->get(); }
    // Whether something of what is watched has changed, of all that waits to be read. Not blocking.
    [[nodiscard]] bool changed() const;
    // Watches what stands there now. May block: the paths are looked up.
    void add(const std::vector<std::string>& directories);

  private:
    std::shared_ptr<UniqueFd> changes_;
    int settings_ = -1;
    std::map<std::string, int> watched_;  // the action directories, by path
};

}  // namespace postern
