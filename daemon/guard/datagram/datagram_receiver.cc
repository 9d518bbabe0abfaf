#include "daemon/guard/datagram/datagram_receiver.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/guard/listen/socket_options.h"

namespace postern {
namespace {

constexpr std::size_t buffer_bytes = limits::message_bytes + 2;
constexpr int receive_flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
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

DatagramReceiver::Received failed_with(int error) {
    DatagramReceiver::Received received;
    received.state = DatagramReceiver::Received::State::failed;
    received.error = error;
    return received;
}

}  // namespace

DatagramReceiver::DatagramReceiver(int socket, Dropper& dropper)
    : socket_(socket),
      dropper_(dropper),
      highest_pinning_(LateUnit::highest_pinning()),
      descriptors_(refuses_descriptors(socket) ? Descriptors::refused_from_now
                                               : Descriptors::dropped),
      buffers_(std::make_unique_for_overwrite<char[]>(most_at_once * buffer_bytes)) {
    ask_for_pidfds(false);
}

char* DatagramReceiver::buffer(std::size_t number) const {
    return buffers_.get() + number * buffer_bytes;
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

class DatagramReceiver::Place {
  public:
    void prepare(msghdr& message, char* buffer, std::size_t control_bytes) {
        data_ = {buffer, buffer_bytes};
        message.msg_name = &address_;
        message.msg_namelen = sizeof address_;
        message.msg_iov = &data_;
        message.msg_iovlen = 1;
        message.msg_control = control_.data();
        message.msg_controllen = control_bytes;
    }
    // What has come in. `unit` as of receive(); so it is asked where what pins its process is as
    // high as `highest_pinning`.
    [[nodiscard]] Received take(msghdr& message, std::size_t length, bool unit,
                                int highest_pinning) const {
        Received received;
        Sender sender = take_sender(message);
        unit = unit || sender.pidfd.get() >= highest_pinning;
        DatagramPacket& packet = received.packet;
        packet.peer = sender.credentials
                          ? identify_sender(*sender.credentials, std::move(sender.pidfd), unit)
                          : fail("the kernel does not say who sent it");
        packet.descriptors = (message.msg_flags & MSG_CTRUNC) != 0;
        packet.too_long = (message.msg_flags & MSG_TRUNC) != 0 || length == buffer_bytes;
        if (!packet.too_long) packet.payload.assign(static_cast<char*>(data_.iov_base), length);
        packet.reply_path =
            path_of(address_, std::min<socklen_t>(message.msg_namelen, sizeof address_));
        return received;
    }

  private:
    iovec data_{};
    alignas(cmsghdr) std::array<char, control_for_all> control_;
    // Of a path that fills its place the kernel gives one byte more than a sockaddr_un has
    // (unix(7), BUGS).
    sockaddr_storage address_{};
};

DatagramReceiver::Batch DatagramReceiver::receive(std::size_t most, bool unit) {
    return looks_first() ? receive_one(unit) : receive_many(std::min(most, most_at_once), unit);
}

DatagramReceiver::Batch DatagramReceiver::receive_one(bool unit) {
    // Then it stays in the kernel's queue, for the dropper.
    const bool along = carries_descriptors();
    const bool refused_from_now = descriptors_ == Descriptors::refused_from_now;
    const bool with_pidfd = !along && refused_from_now;
    Place place;
    msghdr message{};
    place.prepare(message, buffer(0), with_pidfd ? control_for_all : control_for_ids);
    if (with_pidfd) ask_for_pidfds(true);
    ssize_t length = 0;
    do {
        length = ::recvmsg(socket_, &message, receive_flags | (along ? MSG_PEEK : 0));
    } while (length < 0 && errno == EINTR);
    int error = errno;
    if (along && length >= 0 && !dropper_.drop_packet(socket_)) {
        // It is there still.
        length = -1;
        error = ENOBUFS;
    }
    if (refused_from_now && length < 0 && error == EAGAIN) {
        descriptors_ = Descriptors::refused;  // whatever comes now was refused its descriptors
    } else if (with_pidfd) {
        ask_for_pidfds(false);
    }
    Batch batch;
    batch.more = length >= 0;
    if (length >= 0) {
        batch.all.push_back(
            place.take(message, static_cast<std::size_t>(length), unit, highest_pinning_));
    } else if (error != EAGAIN) {
        batch.all.push_back(failed_with(error));
    }
    return batch;
}

DatagramReceiver::Batch DatagramReceiver::receive_many(std::size_t most, bool unit) {
    std::array<Place, most_at_once> places;
    std::array<mmsghdr, most_at_once> messages{};
    for (std::size_t i = 0; i < most; ++i) {
        places[i].prepare(messages[i].msg_hdr, buffer(i), control_for_all);
    }
    int count = 0;
    do {
        count = ::recvmmsg(socket_, messages.data(), static_cast<unsigned>(most), receive_flags,
                           nullptr);
    } while (count < 0 && errno == EINTR);
    Batch batch;
    if (count < 0 && errno != EAGAIN) batch.all.push_back(failed_with(errno));
    for (std::size_t i = 0; static_cast<int>(i) < count; ++i) {
        batch.all.push_back(
            places[i].take(messages[i].msg_hdr, messages[i].msg_len, unit, highest_pinning_));
    }
    // With fewer than there was place for, the queue was empty.
    batch.more = batch.all.size() == most && count > 0;
    return batch;
}

}  // namespace postern
