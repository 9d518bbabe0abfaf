// The part of SessionProcess that has to do with packets of the datagram socket.
#include <utility>

#include "base/limits.h"
#include "daemon/guard/sessions/session_process.h"

namespace postern {

void SessionProcess::add_packet(channel::Datagram packet, ConnectionInfo info) {
    last_used_usec_ = info.packet->since_usec;
    packet_times_.emplace(packet.connection, info.packet->since_usec);
    packet_bytes_ += info.packet->bytes;
    packets_full_ = packets_full_ || packets() >= limits::datagrams_in_session ||
                    packet_bytes_ >= limits::datagram_bytes_in_session;
    connections_.emplace(packet.connection, std::move(info));
    packets_waiting_.push_back(std::move(packet));
    pump();
}

// Full at the bound, and until half of it is answered: whoever waits then waits once for many.
void SessionProcess::forget_packet(std::uint64_t id, const PacketOrigin& packet) {
    packet_times_.erase(id);
    packet_bytes_ -= packet.bytes;
    packets_full_ = packets_full_ && (packets() > limits::datagrams_in_session / 2 ||
                                      packet_bytes_ > limits::datagram_bytes_in_session / 2);
}

bool SessionProcess::pump_packet() {
    if (!send_now({channel::encode(packets_waiting_.front()), {}})) return false;
    packets_waiting_.pop_front();
    return true;
}

void SessionProcess::handle_packet(std::uint64_t id, ConnectionInfo& info,
                                   const channel::ToGuard& message) {
    // What it has not got it can't be done with: such an answer would make room for another packet
    // while this one still waits, without end.
    if (!packets_waiting_.empty() && id >= packets_waiting_.front().connection) {
        return end("it used a packet that it was not given");
    }
    if (const auto* reply = std::get_if<channel::Reply>(&message)) {
        if (reply->bytes.size() > limits::datagram_reply_bytes) {
            return end("its reply to a packet is too long");
        }
        // Taken out first, so that it is answered once.
        const ConnectionInfo answered = std::move(info);
        connections_.erase(id);
        forget_packet(id, *answered.packet);
        events_.packet_answered(*this, answered, *reply);
        return;
    }
    const bool is_its_call = std::holds_alternative<channel::Run>(message) ||
                             std::holds_alternative<channel::Check>(message) ||
                             std::holds_alternative<channel::Describe>(message);
    if (!is_its_call) return end("it used a packet as if it were a connection");
    if (std::exchange(info.packet->called, true)) return end("it made two calls of one packet");
    events_.session_called(*this, message);
}

}  // namespace postern
