#include "daemon/guard/sessions/outbox.h"

#include <utility>

#include "base/limits.h"

namespace postern {

const char* Outbox::add(channel::Bytes message, std::vector<UniqueFd> descriptors) {
    if (message.size() > limits::packet_bytes) return "an answer to it is too long";
    bytes_ += message.size();
    descriptors_ += descriptors.size();
    queue_.push_back({std::move(message), std::move(descriptors)});
    const bool too_much =
        bytes_ > limits::session_queue_bytes || descriptors_ > limits::session_queue_descriptors;
    return too_much ? "it does not read what it is sent" : nullptr;
}

const char* Outbox::add_snapshot(policy::SnapshotPtr snapshot, const policy::Caller& caller,
                                 const policy::Unit& unit) {
    snapshot_ = std::move(snapshot);
    actions_ = policy::granted(*snapshot_, caller, unit);
    sent_ = 0;
    const auto count = static_cast<std::uint32_t>(actions_.size());
    return add(channel::encode({{}, {}, channel::SnapshotBegin{count}}), {});
}

channel::Sent Outbox::flush(int channel, bool& progress) {
    while (!queue_.empty()) {
        const Packet& packet = queue_.front();
        std::vector<int> descriptors;
        descriptors.reserve(packet.descriptors.size());
        for (const UniqueFd& descriptor : packet.descriptors) {
            descriptors.push_back(descriptor.get());
        }
        const auto sent = channel::send_packet(channel, packet.bytes, descriptors);
        if (sent != channel::Sent::sent) return sent;
        progress = true;
        bytes_ -= packet.bytes.size();
        descriptors_ -= packet.descriptors.size();
        queue_.pop_front();
    }
    while (snapshot_) {
        const bool last = sent_ == actions_.size();
        const auto message =
            last ? channel::encode({{}, {}, channel::SnapshotEnd{}})
                 : channel::encode({{}, {}, channel::SnapshotAction{actions_[sent_]->description}});
        const auto sent = channel::send_packet(channel, message, {});
        if (sent != channel::Sent::sent) return sent;
        progress = true;
        ++sent_;
        if (!last) continue;
        snapshot_.reset();
        actions_.clear();
    }
    return channel::Sent::sent;
}

void Outbox::clear() {
    queue_.clear();
    bytes_ = 0;
    descriptors_ = 0;
    snapshot_.reset();
    actions_.clear();
}

}  // namespace postern
