#include "daemon/session/guard_link.h"

namespace postern::session {

void GuardLink::send(const channel::Envelope<channel::ToGuard>& message) {
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
