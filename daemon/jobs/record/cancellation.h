// That somebody has cancelled a job: who, and how it is ended.
#pragma once

#include <csignal>

#include "model/job.h"

namespace postern::jobs {

struct Cancellation {
    Canceller by;
    int signal = SIGTERM;  // before KILL
    bool now = false;      // KILL at once
    friend bool operator==(const Cancellation&, const Cancellation&) = default;
};

}  // namespace postern::jobs
