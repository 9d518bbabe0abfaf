#include "daemon/guard/datagram/datagram_receiver.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/unique_fd.h"
#include "daemon/guard/listen/socket_options.h"

namespace postern {
namespace {

constexpr std::size_t control_for_ids = CMSG_SPACE(sizeof(ucred));
constexpr std::size_t control_for_all = control_for_ids + CMSG_SPACE(sizeof(int));  // a pidfd

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

DatagramReceiver::DatagramReceiver(int socket, Dropper& dropper)
    : socket_(socket),
      dropper_(dropper),
      descriptors_(refuses_descriptors(socket) ? Descriptors::refused_from_now
                                               : Descriptors::dropped) {
    ask_for_pidfds(false);
}

void DatagramReceiver::ask_for_pidfds(bool wanted) const {
    const int on = wanted ? 1 : 0;
    // Before Linux 6.5 there are none: then units are not known.
    (void)::setsockopt(socket_, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on);
}

// Of the next packet. Looking at it leaves them where they are.
bool DatagramReceiver::carries_descriptors() const {
    alignas(cmsghdr) std::array<char, control_for_ids> control;
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    return ::recvmsg(socket_, &message, MSG_PEEK | MSG_DONTWAIT) >= 0 &&
           (message.msg_flags & MSG_CTRUNC) != 0;
}

DatagramReceiver::Received DatagramReceiver::receive() {
    // Then it stays in the kernel's queue, for the dropper.
    const bool along = looks_first() && carries_descriptors();
    const bool refused_from_now = descriptors_ == Descriptors::refused_from_now;
    const bool with_pidfd = !along && descriptors_ != Descriptors::dropped;
    Received received;
    iovec data{buffer_.data(), buffer_.size()};
    alignas(cmsghdr) std::array<char, control_for_all> control;
    // Of a path that fills its place the kernel gives one byte more than a sockaddr_un has
    // (unix(7), BUGS).
    sockaddr_storage address{};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = with_pidfd ? control_for_all : control_for_ids;
    if (refused_from_now && with_pidfd) ask_for_pidfds(true);
    ssize_t length = 0;
    do {
        length =
            ::recvmsg(socket_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (along ? MSG_PEEK : 0));
    } while (length < 0 && errno == EINTR);
    int error = errno;
    if (along && length >= 0 && !dropper_.drop_packet(socket_)) {
        // It is there still.
        length = -1;
        error = ENOBUFS;
    }
    if (refused_from_now && length < 0 && error == EAGAIN) {
        descriptors_ = Descriptors::refused;  // whatever comes now was refused its descriptors
    } else if (refused_from_now && with_pidfd) {
        ask_for_pidfds(false);
    }
    if (length < 0) {
        received.error = error;
        using State = Received::State;
        received.state = error == EAGAIN ? State::nothing : State::failed;
        return received;
    }
    received.state = Received::State::packet;
    const Sender sender = take_sender(message);

    DatagramPacket& packet = received.packet;
    packet.peer = sender.credentials ? identify_sender(*sender.credentials, sender.pidfd.get())
                                     : fail("the kernel does not say who sent it");
    packet.descriptors = (message.msg_flags & MSG_CTRUNC) != 0;
    const auto size = static_cast<std::size_t>(length);
    packet.too_long = (message.msg_flags & MSG_TRUNC) != 0 || size == buffer_.size();
    if (!packet.too_long) packet.payload.assign(buffer_.data(), size);
    packet.reply_path = path_of(address, std::min<socklen_t>(message.msg_namelen, sizeof address));
    return received;
}

}  // namespace postern
