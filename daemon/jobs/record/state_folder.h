// The folder that a guard keeps its jobs in, from start to start: taken by one guard at a time.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/jobs/record/group_digest.h"

namespace postern::jobs {

// Why there is none.
struct StateError {
    std::string message;
    bool may_heal = false;  // the disk is full, read-only, not mounted, or broken: try again
};

struct StateFolder {
    std::string path;  // its true one, without symbolic links
    UniqueFd jobs;     // STATE/jobs
    UniqueFd lock;     // as long as this is open no other guard has it
    GroupDigest::Key key{};
    // Of the jobs folder; another one's is another. Not 0.
    std::uint64_t number = 0;

    // Makes it and the jobs folder (both 0700), and locks it for this process. One that is there is
    // opened on a read-only file system too. Error: it can't be made, is not safe, or is another
    // guard's.
    static Result<StateFolder, StateError> open(const std::string& path);
};

}  // namespace postern::jobs
