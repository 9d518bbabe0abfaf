// What a word of a command line can be completed to.
#pragma once

#include <cstdint>

namespace postern::ctl {

enum class Completes : std::uint8_t {
    nothing,
    listed,       // a word of a list that stands beside this
    files,        // a path
    named_files,  // NAME=PATH: an argument of the action, and a path
    users,        // an account of this machine
    actions,      // an action that the caller may run
    calls,        // an action, then its arguments as NAME=VALUE
    jobs,         // the ids of jobs
    methods,      // a method of the protocol
};

}  // namespace postern::ctl
