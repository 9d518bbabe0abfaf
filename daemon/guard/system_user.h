// The system users that the daemon's own programs run as.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "base/result.h"

namespace postern {

// The ids of this user. It must be nobody else's: whoever shares it could end those programs, and
// root would be no wall at all. `whose` and `option` are for the message: "session",
// "--session-user". Errors: there is no such user, it can't be looked up, it is root or has root's
// group.
Result<std::pair<uid_t, gid_t>> ids_of_system_user(const char* whose, const char* option,
                                                   const std::string& name);

}  // namespace postern
