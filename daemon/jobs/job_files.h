// The two output files of a job.
#pragma once

#include <array>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/jobs/record/output_file.h"

namespace postern::jobs {

struct JobFiles {
    std::array<OutputFile, 2> output;  // stdout, stderr
    std::array<UniqueFd, 2> readers;   // for the first follower

    // Makes them in a job's folder, which is empty.
    static Result<JobFiles> create(int folder);
    // Those of a job that was started before.
    static Result<JobFiles> open(int folder);
};

}  // namespace postern::jobs
