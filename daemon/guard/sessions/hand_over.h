// A reply with descriptors, sent to a client by the guard: sessions can send none to anybody.
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace postern {

// The bytes in one sendmsg(2) of their own, the descriptors with the first of them; they stay the
// caller's. Never blocks, and reads nothing. False: nothing was sent, since the client is gone or
// does not read, or the kernel takes no more descriptors (ETOOMANYREFS); or not all of it, which so
// few bytes never are.
bool give_to_client(int connection, const std::string& bytes,
                    const std::vector<UniqueFd>& descriptors);

}  // namespace postern
