#include "daemon/session/caller.h"

#include <algorithm>

namespace postern::session {

Granted::Granted(std::vector<ActionDescription> actions) : actions_(std::move(actions)) {
    std::ranges::sort(actions_, {}, &ActionDescription::name);
    actions_.shrink_to_fit();
}

const ActionDescription* Granted::find(std::string_view name) const {
    const auto it = std::ranges::lower_bound(
        actions_, name, {},
        [](const ActionDescription& action) { return std::string_view(action.name); });
    return it != actions_.end() && it->name == name ? &*it : nullptr;
}

}  // namespace postern::session
