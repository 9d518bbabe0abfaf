// Why a job was not started.
#pragma once

#include <string>

namespace postern::jobs {

struct StartFailure {
    std::string message;  // for the caller: names no program, user or path
    std::string detail;   // for the audit and the administrator
    // The job was not at fault, it never began: the same call may be made again.
    bool again = false;
};

}  // namespace postern::jobs
