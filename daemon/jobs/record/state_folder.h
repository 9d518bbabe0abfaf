// The folder that a guard keeps its jobs in, from start to start: taken by one guard at a time.
#pragma once

#include <cstdint>
#include <optional>
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

    // What this process has had of it, and still has.
    struct Held {
        std::string path;
        int jobs = -1;
        int lock = -1;
        GroupDigest::Key key{};
    };
    // Whether they still lie at their paths, and can be written to. Error: what can't be written to
    // (errno); ENOENT: they do not lie there.
    static Result<void, int> check(const Held& held);
    // As open(), after they were removed, renamed or replaced. The key stays. `lock` is none where
    // it is still held.
    static Result<StateFolder, StateError> open_again(const Held& held);
};

}  // namespace postern::jobs
