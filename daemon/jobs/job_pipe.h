// Pipes between a job and the client that started it ("input": "direct", "output": "direct").
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern::jobs {

struct JobPipe {
    UniqueFd read_end;
    UniqueFd write_end;
};

// Which end the job gets: the one to read from, or the one to write to.
enum class JobEnd : std::uint8_t { reads, writes };

// A fresh one, both ends close-on-exec and blocking. Its mode lets a job of another user open its
// own end again by name (/dev/stdout: 0622, /dev/stdin: 0644); nobody else reaches it through
// /proc. Error: no descriptor or memory is to be had.
Result<JobPipe> make_job_pipe(JobEnd of_job);

// A second description of the end that a job writes to, so that a flag of one (O_NONBLOCK) is none
// of the other.
Result<UniqueFd> write_end_again(const UniqueFd& write_end);

// What a job gets in the place of its files, each where it is valid.
struct JobEnds {
    UniqueFd stdin_end;
    UniqueFd stdout_end;
    UniqueFd stderr_end;  // where both go into one stream
};

}  // namespace postern::jobs
