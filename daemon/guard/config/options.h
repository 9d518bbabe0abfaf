// The command line of posternd.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "daemon/guard/config/configuration.h"

namespace postern {

struct Options {
    Configuration configuration;  // defaults, file and command line together
    bool check = false;
    std::vector<std::string> lint;  // files and folders; empty: nothing to lint
    bool own = false;               // lint for a guard of one's own
    bool json = false;
};

// Nothing is to be run: this is to be printed and the process to end with that code.
struct Print {
    std::string text;
    int exit_code = 0;  // 0: to stdout; else to stderr
};

std::variant<Options, Print> parse_options(int argc, char** argv, uid_t uid);

}  // namespace postern
