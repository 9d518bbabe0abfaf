// What the guard gets from whoever started it: descriptors, signals, limits, variables,
// capabilities. It is put right, refused, or named before the guard says that it is ready.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace postern {

struct Inherited {
    // Soft RLIMIT_NOFILE as it was, before it was raised: jobs get that one. 0: not known.
    std::uint64_t open_files = 0;
    // What could not be put right and does not keep it from starting, a line each, for the log.
    std::vector<std::string> warnings;
};

// To be called before anything is opened, and before there is a thread: it closes all descriptors
// but 0, 1, 2 (which it opens where they are closed) and those of sd_listen_fds(3), lets no signal
// be ignored or blocked, and raises RLIMIT_NOFILE. Error, for the administrator: descriptors are
// promised that are not there, or there can't be enough of them.
Result<Inherited> put_inherited_right();

// What root needs of capabilities(7), where a container or a unit keeps some back. The error:
// without it no call could be served; the warnings: what will not work.
Result<std::vector<std::string>> judge_capabilities();

// The same for a set of effective capabilities, bit by bit.
Result<std::vector<std::string>> judge_capabilities(std::uint64_t effective);

}  // namespace postern
