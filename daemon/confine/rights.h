// How a program of ours gives up everything but its descriptors, before it touches anyone's bytes.
//
// It does so itself, after the exec: dropping to another user before the exec would let that user
// stop or trace the child while it still shares the guard's memory (vfork(2)), or keep it from
// being started at all (RLIMIT_NPROC).
#pragma once

#include <sys/types.h>

#include <optional>

#include "base/result.h"

namespace postern {

// The user that a program becomes.
struct Ids {
    uid_t uid = 0;
    gid_t gid = 0;
};

// Those of "--uid UID --gid GID"; nothing where the arguments are anything else.
std::optional<Ids> parse_ids(int count, char** arguments);

// Closes all descriptors from `first` on.
Status close_descriptors_from(unsigned int first);

// Working directory, environment, umask, process group, signals (all that could end it by mistake
// are ignored, but SIGTERM), groups, ids, capabilities,
// NoNewPrivileges, not dumpable, no core file; and the process gets this name. Cannot be undone.
// What remains is the list of system calls (system_calls.h), and limits of the program's own.
//
// With `ids`: needs root; every id and every capability set is checked afterwards. Without: keeps
// the process's own ids and its groups; refused to root.
//
// Errors: whatever could not be dropped. The process must then not go on.
Status give_up_rights(const char* name, const std::optional<Ids>& ids);

}  // namespace postern
