// What supervises jobs: systemd, or the guard itself.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace postern {

enum class Supervision : unsigned char { automatic, systemd, direct };

// "auto", "systemd", "direct". Error: none of these.
Result<Supervision> parse_supervision(const std::string& text);

// The private socket of the systemd that is to supervise jobs: PID 1's for root, else the user's
// own manager's. Empty: the guard starts jobs itself. `automatic` takes systemd where one runs.
// Error: there is no systemd, or jobs of root that the guard starts itself would inherit its
// sandbox.
Result<std::string> systemd_socket(Supervision wanted, uid_t uid);

}  // namespace postern
