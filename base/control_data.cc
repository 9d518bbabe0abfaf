#include "base/control_data.h"

#include <cassert>
#include <cerrno>
#include <cstring>

namespace postern {

void put_descriptors(msghdr& message, std::span<char> space, std::span<const int> descriptors) {
    if (descriptors.empty()) return;
    assert(space.size() >= CMSG_SPACE(descriptors.size_bytes()));
    message.msg_control = space.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
}

std::vector<UniqueFd> take_descriptors(msghdr& message) {
    std::vector<UniqueFd> descriptors;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            descriptors.emplace_back(descriptor);
        }
    }
    return descriptors;
}

bool send_byte(int socket, char byte, std::span<const int> descriptors, int flags) {
    iovec data{&byte, 1};
    DescriptorSpace<most_with_a_byte> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    put_descriptors(message, control.bytes, descriptors);
    return ::sendmsg(socket, &message, MSG_NOSIGNAL | flags) == 1;
}

ReceivedByte receive_byte(int socket) {
    ReceivedByte received;
    iovec data{&received.byte, 1};
    DescriptorSpace<most_with_a_byte> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
    do {
        received.length = static_cast<int>(::recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
    } while (received.length < 0 && errno == EINTR);
    if (received.length < 0) return received;
    received.lost_some = (message.msg_flags & MSG_CTRUNC) != 0;
    received.descriptors = take_descriptors(message);
    return received;
}

}  // namespace postern
