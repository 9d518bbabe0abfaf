// Why a job was not started.
#pragma once

#include <string>

namespace postern::jobs {

struct StartFailure {
    // How messages begin.
    static constexpr const char* cannot = "the program could not be started";

    std::string message;  // for the caller: names no user, and no path but of an interpreter
    std::string detail;   // for the audit and the administrator
    // The job was not at fault, it never began: the same call may be made again.
    bool again = false;
};

}  // namespace postern::jobs
