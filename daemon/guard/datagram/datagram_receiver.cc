#include "daemon/guard/datagram/datagram_receiver.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "daemon/guard/listen/socket_options.h"

namespace postern {
namespace {

// Room for all that the kernel may send along with a packet: nothing is then ever dropped inside
// recvmsg(2), where closing a descriptor could block.
constexpr std::size_t control_bytes = CMSG_SPACE(channel::most_descriptors * sizeof(int)) +
                                      CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int)) + 256;

struct Sender {
    std::optional<ucred> credentials;
    UniqueFd pidfd;
};

Sender take_sender(msghdr& message) {
    Sender sender;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET) continue;
        if (header->cmsg_type == SCM_CREDENTIALS && header->cmsg_len == CMSG_LEN(sizeof(ucred))) {
            std::memcpy(&sender.credentials.emplace(), CMSG_DATA(header), sizeof(ucred));
        } else if (header->cmsg_type == SCM_PIDFD && header->cmsg_len == CMSG_LEN(sizeof(int))) {
            int pidfd = -1;
            std::memcpy(&pidfd, CMSG_DATA(header), sizeof pidfd);
            // Negative: an errno, where the sender is reaped or there is no descriptor to be had.
            sender.pidfd.reset(pidfd >= 0 ? pidfd : -1);
        }
    }
    return sender;
}

std::string path_of(const sockaddr_storage& address, socklen_t length) {
    constexpr std::size_t before = offsetof(sockaddr_un, sun_path);
    const char* const path = reinterpret_cast<const char*>(&address) + before;
    if (length <= before || address.ss_family != AF_UNIX || *path != '/') return {};
    return {path, ::strnlen(path, length - before)};
}

}  // namespace

DatagramReceiver::Received DatagramReceiver::receive(int socket) {
    Received received;
    iovec data{buffer_.data(), buffer_.size()};
    alignas(cmsghdr) std::array<char, control_bytes> control;
    // Of a path that fills its place the kernel gives one byte more than a sockaddr_un has
    // (unix(7), BUGS).
    sockaddr_storage address{};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t length = 0;
    do {
        length = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0) {
        received.error = errno;
        using State = Received::State;
        received.state = errno == EAGAIN ? State::nothing : State::failed;
        return received;
    }
    received.state = Received::State::packet;
    received.descriptors = channel::take_descriptors(message);
    const Sender sender = take_sender(message);

    DatagramPacket& packet = received.packet;
    packet.peer = sender.credentials ? identify_sender(*sender.credentials, sender.pidfd.get())
                                     : fail("the kernel does not say who sent it");
    packet.descriptors = !received.descriptors.empty();
    packet.incomplete = (message.msg_flags & MSG_CTRUNC) != 0;
    const auto size = static_cast<std::size_t>(length);
    packet.too_long = (message.msg_flags & MSG_TRUNC) != 0 || size == buffer_.size();
    if (!packet.too_long) packet.payload.assign(buffer_.data(), size);
    packet.reply_path = path_of(address, std::min<socklen_t>(message.msg_namelen, sizeof address));
    return received;
}

}  // namespace postern
