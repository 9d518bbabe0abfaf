// What one load of the action files made other than it was.
#pragma once

#include <string>
#include <vector>

#include "daemon/policy/snapshot.h"

namespace postern::policy {

// Names of actions, ascending.
struct Change {
    std::vector<std::string> added;
    std::vector<std::string> changed;  // its text, or what its names of users and groups stand for
    std::vector<std::string> removed;
    // Whose file is bad, and was not so before, or lies in a folder that is not safe any more.
    std::vector<std::string> off;

    [[nodiscard]] bool any() const {
        return !added.empty() || !changed.empty() || !removed.empty() || !off.empty();
    }
};

Change change_between(const Snapshot& before, const Snapshot& after);

}  // namespace postern::policy
