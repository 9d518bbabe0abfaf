#include "daemon/output/keeper/guard_link.h"

#include <poll.h>

#include <utility>

namespace postern::output {
namespace {

bool is_from_guard(Kind kind) {
    return kind <= Kind::want_inputs;
}

// Read end and file, and the write end where the guard has it.
bool is_right_count(Kind kind, std::size_t descriptors) {
    return kind == Kind::keep ? descriptors == 2 || descriptors == 3 : descriptors == 0;
}

}  // namespace

bool GuardLink::is_alive() const {
    pollfd end{channel_.get(), 0, 0};
    return ::poll(&end, 1, 0) == 0;
}

GuardLink::Hearing GuardLink::hear() {
    Hearing hearing;
    channel::Received received = receiver_.receive(channel_.get());
    switch (received.state) {
        case channel::Received::State::nothing:
            return hearing;
        case channel::Received::State::ended:
            hearing.what = received.descriptors.empty() ? Heard::ended : Heard::wrong;
            return hearing;
        case channel::Received::State::packet:
            break;
    }
    auto message = decode(received.packet);
    if (!message || !is_from_guard(message->kind) ||
        !is_right_count(message->kind, received.descriptors.size())) {
        hearing.what = Heard::wrong;
        return hearing;
    }
    hearing.what = Heard::message;
    hearing.message = *std::move(message);
    hearing.descriptors = std::move(received.descriptors);
    return hearing;
}

channel::Sent GuardLink::send(const Message& message, std::span<const int> descriptors) {
    return channel::send_packet(channel_.get(), encode(message), descriptors);
}

channel::Sent GuardLink::flush() {
    while (!waiting_.empty()) {
        const channel::Sent sent = send(waiting_.front(), {});
        if (sent != channel::Sent::sent) return sent;
        waiting_.pop_front();
    }
    return channel::Sent::sent;
}

}  // namespace postern::output
