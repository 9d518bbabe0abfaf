#include "ctl/verbs/all_options.h"

#include <algorithm>

#include "ctl/verbs/verbs.h"

namespace postern::ctl {

std::vector<Option> own_options() {
    std::vector<Option> options;
    for (const auto* verb : verbs()) {
        for (const auto& option : verb->options) {
            const auto known = std::ranges::find(options, option.name, &Option::name);
            if (known == options.end()) options.push_back(option);
        }
    }
    return options;
}

std::string verbs_with(std::string_view own_option) {
    std::string names;
    std::string last;
    for (const auto* verb : verbs()) {
        const auto& options = verb->options;
        if (std::ranges::find(options, own_option, &Option::name) == options.end()) continue;
        if (!last.empty()) names += (names.empty() ? "" : ", ") + last;
        last = verb->name;
    }
    return names.empty() ? last : names + " and " + last;
}

}  // namespace postern::ctl
