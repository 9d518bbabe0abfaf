// The command line of posternctl: words become a verb and what it is to do.
#pragma once

#include <span>
#include <string>
#include <variant>

#include "ctl/verbs/verb.h"
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

// `words`: without the program's own name. Options stand before or after the verb and among its
// words; "--" ends them. Not for two threads at once: getopt_long(3) is not.
std::variant<Task, Stop> parse_command_line(std::span<const std::string> words,
                                            const SocketEnvironment& environment);

}  // namespace postern::ctl
