#include "daemon/session/client_socket.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace postern::session {
namespace {

// The kernel's own maximum for one message (SCM_MAX_FD).
constexpr std::size_t most_descriptors = 253;

// Closes all descriptors in the control data; whether there were any.
bool close_descriptors(msghdr& message) {
    bool found = false;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        found = true;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            UniqueFd(descriptor).reset();
        }
    }
    return found;
}

}  // namespace

ClientSocket::Input ClientSocket::receive(std::span<char> buffer) {
    iovec data{buffer.data(), buffer.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_descriptors * sizeof(int))> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t count = 0;
    do {
        count = ::recvmsg(fd(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        const bool passes = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
        return {passes ? Input::State::nothing : Input::State::ended, 0};
    }
    const bool lost = (message.msg_flags & MSG_CTRUNC) != 0;
    if (close_descriptors(message) || lost) return {Input::State::descriptors, 0};
    if (count == 0) return {Input::State::ended, 0};
    return {Input::State::bytes, static_cast<std::size_t>(count)};
}

bool ClientSocket::flush() {
    if (backlog() == 0) return true;
    ssize_t count = 0;
    do {
        count = ::send(fd(), waiting_.data() + sent_, backlog(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
    sent_ += static_cast<std::size_t>(count);
    if (backlog() == 0) {
        waiting_.clear();
        sent_ = 0;
        // One large reply must not cost its memory for the rest of the connection.
        if (waiting_.capacity() > std::size_t{16} * 1024) waiting_.shrink_to_fit();
    } else if (sent_ > std::size_t{64} * 1024) {
        waiting_.erase(0, sent_);
        sent_ = 0;
    }
    return true;
}

void ClientSocket::end_output() {
    ::shutdown(fd(), SHUT_WR);
}

void ClientSocket::shut_down() {
    ::shutdown(fd(), SHUT_RDWR);
}

}  // namespace postern::session
