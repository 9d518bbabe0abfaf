// A launcher: it is started, it is given a job, and then it stands there, waiting for the guard's
// word.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/loop/spawner.h"

namespace postern::jobs {

struct Launched {
    pid_t pid = -1;
    UniqueFd process;  // pidfd
    UniqueFd control;  // close-on-exec
    // When the process began, as ProcessStat says; 0: it had ended.
    std::uint64_t start = 0;
};

// One that waits for its job. `program` is postern-launcher's.
//
// Waits only for the exec of our own program, which still runs as the guard's user: nobody else can
// stop it before. The child is not reaped by anybody else (SIGCHLD must not be ignored). Error: why
// not; then there is no child.
Result<Launched> start_launcher(Spawner& spawner, int program);

// Descriptors of a job; they stay the caller's.
struct JobFiles {
    int stdin_file = -1;
    int stdout_file = -1;
    int stderr_file = -1;
    int program = -1;
    int cgroup_procs = -1;  // -1: none
};

// Gives it its job, `order` as daemon/launcher/order.h says. Waits for nobody. Error: it has ended,
// or there is no memory; it has nothing of the job then.
Status give_job(const Launched& launched, std::span<const std::uint8_t> order,
                const JobFiles& files);

// Of one that runs nothing: it is killed and reaped. (It has no more to do than to die, so that is
// waited for.)
void end_launcher(Launched launched);

}  // namespace postern::jobs
