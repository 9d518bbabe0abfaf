#include "daemon/channel/transport.h"

#include <sys/socket.h>

#include <cassert>
#include <cerrno>
#include <cstring>

namespace postern::channel {
Result<std::pair<UniqueFd, UniqueFd>> make_pair() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        return fail(std::string("socketpair: ") + std::strerror(errno));
    }
    return std::pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Sent send_packet(int channel, std::span<const std::uint8_t> packet,
                 std::span<const int> descriptors) {
    assert(descriptors.size() <= 2);
    // sendmsg() reads only; iovec just has no const.
    iovec data{const_cast<std::uint8_t*>(packet.data()), packet.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
    }
    for (;;) {
        // A session may not call sendmsg(2).
        const ssize_t sent =
            descriptors.empty()
                ? ::send(channel, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                : ::sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) return Sent::sent;
        if (errno == EINTR) continue;
        // ENOBUFS and ENOMEM pass: the kernel is short of memory for the moment.
        if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) return Sent::full;
        return Sent::ended;
    }
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

Received Receiver::receive(int channel) {
    Received received;
    iovec data{buffer_.data(), buffer_.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_descriptors * sizeof(int))> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (descriptors_ == Descriptors::taken) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
    }
    ssize_t length = 0;
    do {
        length = ::recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0) {
        const bool passes = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
        received.state = passes ? Received::State::nothing : Received::State::ended;
        return received;
    }
    if (descriptors_ == Descriptors::taken) {
        received.descriptors = take_descriptors(message);
    } else {
        received.refused_descriptors = (message.msg_flags & MSG_CTRUNC) != 0;
    }
    // No message of ours is empty: zero bytes are the end.
    if (length == 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        received.state = Received::State::ended;
        return received;
    }
    received.state = Received::State::packet;
    received.packet = std::span(buffer_).first(static_cast<std::size_t>(length));
    return received;
}

}  // namespace postern::channel
