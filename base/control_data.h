// Descriptors in the control data of a message (unix(7), SCM_RIGHTS; cmsg(3)).
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "base/unique_fd.h"

namespace postern {

// Place for so many of them, to be sent or received with.
template <std::size_t most>
struct DescriptorSpace {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most * sizeof(int))> bytes{};
};

// Makes `space`, which is aligned and has room for them, the message's control data: these, which
// stay the caller's. None: there is no control data.
void put_descriptors(msghdr& message, std::span<char> space, std::span<const int> descriptors);

// Those in a message that was received, each with its owner.
std::vector<UniqueFd> take_descriptors(msghdr& message);

// A message of one byte with descriptors, as programs of ours give them to one another: at most
// this many.
inline constexpr std::size_t most_with_a_byte = 17;

// The descriptors stay the caller's. `flags`: of sendmsg(2), besides MSG_NOSIGNAL. False: errno
// says why.
bool send_byte(int socket, char byte, std::span<const int> descriptors, int flags = 0);

struct ReceivedByte {
    int length = 0;  // 1; 0: the other end is closed; negative: it failed
    char byte = 0;
    bool lost_some = false;  // descriptors that there was no room or number for
    std::vector<UniqueFd> descriptors;
};
// Waits for one.
ReceivedByte receive_byte(int socket);

}  // namespace postern
