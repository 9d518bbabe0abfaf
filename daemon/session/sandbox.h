// How a session gives up everything but its descriptors, before it reads a byte of anyone's.
//
// It does so itself, after the exec: dropping to another user before the exec would let that user
// stop or trace the child while it still shares the guard's memory (vfork(2)), or keep it from
// being started at all (RLIMIT_NPROC).
#pragma once

#include <sys/types.h>

#include <optional>

#include "base/result.h"

namespace postern::session {

// The user that the session becomes.
struct Ids {
    uid_t uid = 0;
    gid_t gid = 0;
};

// Closes all descriptors from `first` on.
Status close_descriptors_from(unsigned int first);

// Working directory, umask, signals, limits, groups, ids, capabilities, NoNewPrivileges, not
// dumpable, and the list of system calls: whatever is not on it ends the process (SIGSYS). Cannot
// be undone.
//
// With `ids`: needs root; every id and every capability set is checked afterwards. Without: keeps
// the process's own ids and its groups (they are the caller's own in user mode); refused to root.
//
// Errors: whatever could not be dropped. The process must then not go on.
Status enter_sandbox(const std::optional<Ids>& ids);

}  // namespace postern::session
