// What a job's program is given, whoever supervises it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/start_failure.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"

namespace postern::jobs {

// Its whole environment, sorted by name: NAME=text.
std::vector<std::string> environment_of(const policy::Action& action, const Record& record);

// The program itself, judged again with its interpreters, as before each start. Error: it is gone,
// or not safe any more.
Result<UniqueFd, StartFailure> program_of(const policy::Action& action);

// Its standard input: another descriptor of the pipe's end where it is to have that (else -1),
// /dev/null, or a sealed file. Error: no descriptor or memory is to be had.
Result<UniqueFd> stdin_of(const policy::Command& command, int pipe_end);

// Which stream takes its standard error: 0 if the action puts it into standard output.
std::size_t error_stream(const policy::Action& action);

}  // namespace postern::jobs
