// The command line of posternctl.
#pragma once

#include <span>
#include <string>
#include <variant>

#include "ctl/verbs/verbs.h"
#include "ctl/wire/socket_path.h"

namespace postern::ctl {

// Nothing is to be done but to say something and to exit.
struct Stop {
    int code = 0;
    std::string out;  // for standard output
    std::string err;  // for standard error
};

struct Task {
    const Verb* verb = nullptr;
    Invocation invocation;
};

// `words`: without the program's own name.
std::variant<Task, Stop> parse_command_line(std::span<const std::string> words,
                                            const SocketEnvironment& environment);

}  // namespace postern::ctl
