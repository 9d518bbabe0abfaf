#include "ctl/verbs/invocation.h"

#include <algorithm>

#include "ctl/text/text.h"
#include "ctl/verbs/job_options.h"

namespace postern::ctl {

const std::string* Invocation::value_of(const Option& option) const {
    const auto found = std::ranges::find(options, option.name, &GivenOption::name);
    return found == options.end() ? nullptr : &found->value;
}

std::string same_daemon(const Invocation& invocation) {
    std::string command = "posternctl";
    if (invocation.given(option_user)) command += " --user";
    const auto* const path = invocation.value_of(option_socket);
    if (path != nullptr) command += " --socket " + shell_word(*path);
    if (invocation.given(option_all)) command += " --all";
    return command;
}

}  // namespace postern::ctl
