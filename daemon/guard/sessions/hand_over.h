// A reply with descriptors, sent to a client by the guard: sessions can send none to anybody.
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace postern {

// Sends the bytes in one sendmsg(2) of their own, and the descriptors with the first of them; they
// stay the caller's. Never blocks, and reads nothing. False: nothing was sent, because the client
// is gone or does not read, or because the kernel takes no more descriptors (ETOOMANYREFS); or only
// a part was, which does not happen to so few bytes.
bool give_to_client(int connection, const std::string& bytes,
                    const std::vector<UniqueFd>& descriptors);

}  // namespace postern
