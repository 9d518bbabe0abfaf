#include "ctl/verbs/invocation.h"

#include <algorithm>

namespace postern::ctl {

const std::string* Invocation::value_of(const Option& option) const {
    const auto found = std::ranges::find(options, option.name, &GivenOption::name);
    return found == options.end() ? nullptr : &found->value;
}

}  // namespace postern::ctl
