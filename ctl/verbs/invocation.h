// What a command line asks a verb to do.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ctl/verbs/option.h"
#include "ctl/wire/target.h"

namespace postern::ctl {

struct GivenOption {
    std::string_view name;  // of its row
    std::string value;      // empty for a flag
};

struct Invocation {
    Target target;
    std::vector<std::string> words;    // after the verb, without options
    std::vector<GivenOption> options;  // as they came

    [[nodiscard]] bool given(const Option& option) const { return value_of(option) != nullptr; }
    // nullptr: it was not given.
    [[nodiscard]] const std::string* value_of(const Option& option) const;
};

// How posternctl is called to ask the same daemon: "posternctl --user".
std::string same_daemon(const Invocation& invocation);

}  // namespace postern::ctl
