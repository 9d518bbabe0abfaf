// That somebody has cancelled a job: who, and how it is ended.
#pragma once

#include <csignal>
#include <cstdint>

#include "model/job.h"

namespace postern::jobs {

struct Cancellation {
    Canceller by;
    int signal = SIGTERM;  // before KILL
    bool now = false;      // KILL at once
    friend bool operator==(const Cancellation&, const Cancellation&) = default;
};

// What became of a cancellation of a job that has not ended.
enum class Cancelled : std::uint8_t {
    now,      // the record says so, and its processes get what was asked for
    already,  // that was asked for before, or it is being killed: nothing is done anew
};

}  // namespace postern::jobs
