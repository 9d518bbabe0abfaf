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
    assert(descriptors.size() <= most_sent);
    // sendmsg() reads only; iovec just has no const.
    iovec data{const_cast<std::uint8_t*>(packet.data()), packet.size()};
    DescriptorSpace<most_sent> control;
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

namespace {

constexpr int receive_flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;

// A message to be received into one of the buffer's two places.
class Place {
  public:
    Place(std::uint8_t* buffer, std::size_t number, Descriptors descriptors)
        : data_{buffer + number * limits::packet_bytes, limits::packet_bytes},
          taken_(descriptors == Descriptors::taken) {}
    void prepare(msghdr& message) {
        message.msg_iov = &data_;
        message.msg_iovlen = 1;
        if (!taken_) return;
        message.msg_control = control_.bytes.data();
        message.msg_controllen = control_.bytes.size();
    }
    // What has come in.
    [[nodiscard]] Received take(msghdr& message, std::size_t length) const {
        Received received;
        if (taken_) {
            received.descriptors = take_descriptors(message);
        } else {
            received.refused_descriptors = (message.msg_flags & MSG_CTRUNC) != 0;
        }
        // No message of ours is empty: zero bytes are the end.
        const bool whole = length > 0 && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
        received.state = whole ? Received::State::packet : Received::State::ended;
        if (whole) received.packet = {static_cast<const std::uint8_t*>(data_.iov_base), length};
        return received;
    }

  private:
    iovec data_;
    bool taken_;
    DescriptorSpace<most_descriptors> control_;
};

// ECONNRESET: the peer left without reading all. It is said once, before what the peer had sent by
// then, which is still there.
bool is_to_be_repeated() {
    return errno == EINTR || errno == ECONNRESET;
}

Received failed() {
    Received received;
    const bool passes = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
    received.state = passes ? Received::State::nothing : Received::State::ended;
    return received;
}

}  // namespace

Received Receiver::receive(int channel) {
    Place place(buffer_.get(), 0, descriptors_);
    msghdr message{};
    place.prepare(message);
    ssize_t length = 0;
    do {
        length = ::recvmsg(channel, &message, receive_flags);
    } while (length < 0 && is_to_be_repeated());
    return length < 0 ? failed() : place.take(message, static_cast<std::size_t>(length));
}

std::array<Received, 2> Receiver::receive_two(int channel) {
    std::array<Place, 2> places{Place(buffer_.get(), 0, descriptors_),
                                Place(buffer_.get(), 1, descriptors_)};
    std::array<mmsghdr, 2> messages{};
    for (std::size_t i = 0; i < places.size(); ++i) places[i].prepare(messages[i].msg_hdr);
    int count = 0;
    do {
        count = ::recvmmsg(channel, messages.data(), static_cast<unsigned>(messages.size()),
                           receive_flags, nullptr);
    } while (count < 0 && is_to_be_repeated());
    std::array<Received, 2> received;
    if (count < 0) received[0] = failed();
    for (std::size_t i = 0; static_cast<int>(i) < count; ++i) {
        received[i] = places[i].take(messages[i].msg_hdr, messages[i].msg_len);
    }
    return received;
}

}  // namespace postern::channel
