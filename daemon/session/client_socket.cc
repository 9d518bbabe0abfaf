#include "daemon/session/client_socket.h"

#include <sys/socket.h>

#include <cerrno>

namespace postern::session {
ClientSocket::Input ClientSocket::receive(std::span<char> buffer) {
    iovec data{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    ssize_t count = 0;
    do {
        count = ::recvmsg(fd(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        const bool passes = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
        return {passes ? Input::State::nothing : Input::State::ended, 0};
    }
    // Without room for them the kernel drops them (recvmsg(2)), and there is nothing else that this
    // socket was asked to receive (daemon/guard/listen/socket_options.h).
    if ((message.msg_flags & MSG_CTRUNC) != 0) return {Input::State::descriptors, 0};
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
    total_ += static_cast<std::size_t>(count);
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
