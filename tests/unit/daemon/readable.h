// Waiting for a descriptor.
#pragma once

#include <poll.h>

namespace postern {

// Until there is something to read, or the end; false after that time, which is for what does not
// come at all.
inline bool readable_within(int descriptor, int seconds = 50) {
    pollfd waiting{descriptor, POLLIN, 0};
    return ::poll(&waiting, 1, seconds * 1000) == 1;
}

}  // namespace postern
