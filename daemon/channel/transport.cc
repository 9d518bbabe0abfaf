#include "daemon/channel/transport.h"

#include <sys/socket.h>

#include <cassert>
#include <cerrno>
#include <cstring>

#include "base/control_data.h"

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
    constexpr std::size_t most = 3;
    assert(descriptors.size() <= most);
    // sendmsg() reads only; iovec just has no const.
    iovec data{const_cast<std::uint8_t*>(packet.data()), packet.size()};
    DescriptorSpace<most> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    put_descriptors(message, control.bytes, descriptors);
    for (;;) {
        // A session may not call sendmsg(2).
        const ssize_t sent =
            descriptors.empty()
                ? ::send(channel, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                : ::sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) return Sent::sent;
        if (errno == EINTR) continue;
        // ENOBUFS and ENOMEM pass: the kernel is short of memory for the moment. So does
        // ETOOMANYREFS: descriptors are on their way that nobody has received yet (unix(7)).
        if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS) {
            return Sent::full;
        }
        return Sent::ended;
    }
}

Received Receiver::receive(int channel) {
    Received received;
    iovec data{buffer_.data(), buffer_.size()};
    DescriptorSpace<most_descriptors> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (descriptors_ == Descriptors::taken) {
        message.msg_control = control.bytes.data();
        message.msg_controllen = control.bytes.size();
    }
    ssize_t length = 0;
    do {
        length = ::recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        // ECONNRESET: the peer left without reading all. It is said once, before what the peer had
        // sent by then, which is still there.
    } while (length < 0 && (errno == EINTR || errno == ECONNRESET));
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
