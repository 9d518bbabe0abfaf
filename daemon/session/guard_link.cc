#include "daemon/session/guard_link.h"

#include <utility>

namespace postern::session {

void GuardLink::send(const channel::Envelope<channel::ToGuard>& message) {
    send_gathered();
    put(message);
}

void GuardLink::accepted(channel::ConnectionId id) {
    if (accepted_.all.size() == channel::connections_per_message) send_gathered();
    accepted_.all.push_back(id);
}

void GuardLink::closed(channel::ConnectionId id, channel::CloseCause cause) {
    if (closed_.all.size() == channel::connections_per_message) send_gathered();
    closed_.all.push_back({id, cause});
}

void GuardLink::replied(channel::Reply reply) {
    const bool has_room = replies_.all.size() < channel::connections_per_message &&
                          reply_bytes_ + reply.bytes.size() <= channel::texts_per_message;
    if (!replies_.all.empty() && !has_room) send_gathered();
    reply_bytes_ += reply.bytes.size();
    replies_.all.push_back(std::move(reply));
}

// What was accepted may be closed already.
void GuardLink::send_gathered() {
    if (!accepted_.all.empty()) put({{}, {}, std::exchange(accepted_, {})});
    if (!closed_.all.empty()) put({{}, {}, std::exchange(closed_, {})});
    if (!replies_.all.empty()) put({{}, {}, std::exchange(replies_, {})});
    reply_bytes_ = 0;
}

void GuardLink::put(const channel::Envelope<channel::ToGuard>& message) {
    if (ended_) return;
    channel::Bytes packet = channel::encode(message);
    if (queue_.empty()) {
        const channel::Sent sent = channel::send_packet(channel_.get(), packet, {});
        if (sent == channel::Sent::sent) return;
        if (sent == channel::Sent::ended) {
            ended_ = true;
            return;
        }
    }
    queued_bytes_ += packet.size();
    queue_.push_back(std::move(packet));
    if (clogged()) was_clogged_ = true;
}

bool GuardLink::relieved() {
    if (!was_clogged_ || clogged()) return false;
    was_clogged_ = false;
    return true;
}

void GuardLink::flush() {
    while (!ended_ && !queue_.empty()) {
        const channel::Sent sent = channel::send_packet(channel_.get(), queue_.front(), {});
        if (sent == channel::Sent::full) return;
        if (sent == channel::Sent::ended) {
            ended_ = true;
            return;
        }
        queued_bytes_ -= queue_.front().size();
        queue_.pop_front();
    }
}

}  // namespace postern::session
