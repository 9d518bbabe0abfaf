// How a session gives up everything but its descriptors, before it reads a byte of anyone's.
#pragma once

#include <optional>

#include "base/result.h"
#include "daemon/confine/rights.h"

namespace postern::session {

// What every program of ours gives up (daemon/confine/rights.h), and besides: it is ended first
// where memory runs out, has a lower priority than the guard, may write no file and has limited
// memory; whatever is not on its list of system calls ends it (SIGSYS). Cannot be undone.
//
// Errors: whatever could not be dropped. The process must then not go on.
Status enter_sandbox(const std::optional<Ids>& ids);

}  // namespace postern::session
