#include "daemon/session/client_socket.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

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

std::string& ClientSocket::waiting(std::unique_ptr<Unsent>& spare) {
    if (!unsent_) unsent_ = spare ? std::move(spare) : std::make_unique<Unsent>();
    return unsent_->bytes;
}

bool ClientSocket::flush(std::unique_ptr<Unsent>& spare) {
    if (!unsent_) return true;
    auto& [bytes, sent, last_read, read] = *unsent_;
    if (backlog() > 0) {
        ssize_t count = 0;
        do {
            count = ::send(fd(), bytes.data() + sent, backlog(), MSG_DONTWAIT | MSG_NOSIGNAL);
        } while (count < 0 && errno == EINTR);
        if (count < 0) return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
        sent += static_cast<std::size_t>(count);
        total_ += static_cast<std::size_t>(count);
    }
    if (backlog() == 0) {
        bytes.clear();
        sent = 0;
        read.reset();
        // One large reply must not cost its memory from then on.
        if (bytes.capacity() <= std::size_t{16} * 1024) {
            spare = std::move(unsent_);
        } else {
            unsent_.reset();
        }
    } else if (sent > std::size_t{64} * 1024) {
        bytes.erase(0, sent);
        sent = 0;
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
