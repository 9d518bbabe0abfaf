// What systemd says of a job's unit: by itself (UnitNews), and where it is asked (UnitState).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "model/job.h"

namespace postern::jobs {

// Why systemd tells of a unit.
enum class Told : std::uint8_t {
    changed,      // something of it is new
    job_removed,  // a job of systemd for it, as its start, is done or given up
    removed,      // systemd has forgotten it
};

// What one signal says. systemd tells of a change by two, each with all that it tells of at all:
// that of the service, and then that of the unit. So what is true when the second has come is
// whole.
struct UnitNews {
    // The unit's.
    std::optional<std::string> active;
    std::optional<std::string> sub;
    std::optional<std::chrono::microseconds> active_since;
    std::optional<bool> has_job;
    std::optional<std::chrono::microseconds> changed_at;  // CLOCK_MONOTONIC; 0: never
    // The service's.
    std::optional<std::string> result;
    std::optional<pid_t> main_pid;
    std::optional<std::int32_t> main_code;
    std::optional<std::int32_t> main_status;
    std::optional<Time> main_started;
    std::optional<std::chrono::microseconds> executed;
};

// How its main process ended: as si_code and si_status of sigaction(2).
struct MainExit {
    std::int32_t code = 0;    // CLD_EXITED, CLD_KILLED or CLD_DUMPED
    std::int32_t status = 0;  // exit code or signal
};

// What its processes have used, as far as it is known.
struct UnitUsage {
    std::optional<std::chrono::nanoseconds> cpu;
    std::optional<std::uint64_t> memory_peak_bytes;  // unknown before systemd 255
};

// Of a unit, as far as a job's result hangs on it.
struct UnitState {
    std::string description;
    std::string load;    // "not-found": there is no such unit (any more)
    std::string active;  // "activating", "active", "deactivating", "inactive", "failed"
    std::string sub;     // "start", "running", "exited", ...
    // As `active`, asked for once more when all the rest had been.
    std::string active_afterwards;
    std::string control_group;     // its path below the root of cgroups, "" where it has none
    std::string result;            // "success", "exit-code", "signal", "timeout", "oom-kill", ...
    std::int32_t main_code = 0;    // CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: it has not ended
    std::int32_t main_status = 0;  // exit code or signal
    Time main_started;             // the epoch: it has not
    Time main_exited;              // the epoch: it has not
    // CLOCK_MONOTONIC; 0: never. With Type=exec active means that the program was executed.
    std::chrono::microseconds active_since{};
    std::chrono::microseconds executed{};  // 0 also where systemd does not know (before 256)
    UnitUsage usage;
};

}  // namespace postern::jobs
