#include "daemon/guard/datagram/datagrams.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/limits.h"
#include "daemon/loop/clock.h"

namespace postern {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

constexpr std::uint64_t reply_patience_usec =
    duration_cast<microseconds>(limits::datagram_patience).count();
constexpr std::uint64_t penalty_usec =
    duration_cast<microseconds>(limits::datagram_penalty).count();
// Packets that one turn of the loop takes from one socket.
constexpr int datagrams_per_turn = 32;
// How long nothing is received after the kernel had no memory for it.
constexpr std::uint64_t failure_usec = 200'000;
// How long the guard's end waits for answers, and for replies to be sent.
constexpr std::uint64_t stop_usec = 2'000'000;
constexpr std::uint64_t stop_poll_usec = 2'000;

// Those of this process, besides the caller's own; others are still not known.
void take_own_groups(policy::Caller& caller) {
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
    groups.resize(static_cast<std::size_t>(
        std::max(::getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
    groups.insert(groups.end(), {::getegid(), caller.gid});
    std::ranges::sort(groups);
    const auto twice = std::ranges::unique(groups);
    groups.erase(twice.begin(), twice.end());
    caller.groups = std::move(groups);
}

}  // namespace

Datagrams::Datagrams(sd_event* event, std::vector<Listener> listeners, SessionPool& pool,
                     Closer& closer, Audit& audit, std::optional<uid_t> only_uid)
    : event_(event),
      listeners_(std::move(listeners)),
      pool_(pool),
      closer_(closer),
      audit_(audit),
      only_uid_(only_uid) {}

Result<std::unique_ptr<Datagrams>> Datagrams::create(sd_event* event,
                                                     std::vector<Listener> listeners,
                                                     SessionPool& pool, Closer& closer,
                                                     Audit& audit, std::optional<uid_t> only_uid) {
    std::unique_ptr<Datagrams> datagrams(
        new Datagrams(event, std::move(listeners), pool, closer, audit, only_uid));
    pool.set_packet_events(*datagrams);
    if (datagrams->listeners_.empty()) return datagrams;
    std::vector<int> sockets;
    for (const Listener& listener : datagrams->listeners_) {
        sockets.push_back(listener.socket.get());
    }
    POSTERN_TRY(auto replier, DatagramReplier::create(sockets, only_uid.has_value()));
    datagrams->replier_ = std::move(replier);
    return datagrams;
}

Status Datagrams::start() {
    for (std::size_t number = 0; number < listeners_.size(); ++number) {
        const Listener& listener = listeners_[number];
        auto entry = std::make_unique<Source>(Source{this, number, {}});
        sd_event_source* source = nullptr;
        const int r = sd_event_add_io(event_, &source, listener.socket.get(), EPOLLIN, on_packet,
                                      entry.get());
        if (r < 0) return fail("listener " + listener.name + ": " + std::strerror(-r));
        entry->event.reset(source);
        // After the sessions, as new connections.
        sd_event_source_set_priority(source, SD_EVENT_PRIORITY_NORMAL + 10);
        sources_.push_back(std::move(entry));
    }
    return {};
}

void Datagrams::set_enabled(bool enabled) {
    for (const auto& source : sources_) {
        sd_event_source_set_enabled(source->event.get(), enabled ? SD_EVENT_ON : SD_EVENT_OFF);
    }
}

int Datagrams::on_packet(sd_event_source* /*source*/, int fd, std::uint32_t /*revents*/,
                         void* userdata) {
    auto* const entry = static_cast<Source*>(userdata);
    Datagrams& self = *entry->datagrams;
    for (int i = 0; i < datagrams_per_turn && !self.held_ && !self.stopped_; ++i) {
        auto received = self.receiver_.receive(fd);
        for (auto& descriptor : received.descriptors) self.closer_.close(std::move(descriptor));
        using State = DatagramReceiver::Received::State;
        if (received.state == State::nothing) return 0;
        if (received.state == State::failed) {
            // Once, however long it lasts.
            if (std::exchange(self.failing_, received.error) != received.error) {
                spdlog::error(
                    "receiving packets: {}; tried again every {} ms, senders wait meanwhile",
                    std::strerror(received.error), failure_usec / 1000);
            }
            self.set_enabled(false);
            if (arm_timer(self.event_, self.timer_, failure_usec, on_timer, &self) < 0) {
                self.set_enabled(true);
            }
            return 0;
        }
        if (std::exchange(self.failing_, 0) != 0) spdlog::info("receiving packets: works again");
        self.take(entry->number, std::move(received.packet));
    }
    return 0;
}

void Datagrams::take(std::size_t number, DatagramPacket packet) {
    const std::string& listener = listeners_[number].name;
    if (!packet.peer) return refuse(listener, nullptr, packet.peer.error().message);
    Held held{{}, {}, std::move(*packet.peer)};
    Peer& peer = held.peer;
    if (only_uid_) {
        if (peer.caller.uid != *only_uid_) {
            return refuse(listener, &peer,
                          "this guard serves uid " + std::to_string(*only_uid_) + " alone");
        }
        // Jobs have the groups of the guard, and its user, who writes the action files, is taken to
        // have them too, since nobody's would else be allowed.
        take_own_groups(peer.caller);
    }
    // A reply of ours never comes back to us, since it goes to files of its receiver's own. Were
    // there a way, it would have our credentials.
    if (peer.pid == ::getpid()) return refuse(listener, &peer, "the daemon does not call itself");
    if (packet.incomplete) return refuse(listener, &peer, "what came along did not fit");

    held.packet.pid = peer.pid;
    held.packet.unit = peer.unit.value_or("");
    held.packet.too_long = packet.too_long;
    held.packet.descriptors = packet.descriptors;
    PacketOrigin& origin = held.origin;
    origin.listener = listener;
    origin.socket = number;
    origin.reply_path = std::move(packet.reply_path);
    origin.bytes = packet.payload.size();
    origin.since_usec = monotonic_usec();
    const char* const fault = packet.descriptors       ? "descriptors came along"
                              : packet.too_long        ? "the packet is too long"
                              : packet.payload.empty() ? "the packet is empty"
                                                       : nullptr;
    held.packet.payload = std::move(packet.payload);
    if (fault != nullptr) {
        refuse(listener, &peer, fault);
        if (origin.reply_path.empty()) return;  // there is nobody to tell
        origin.recorded = true;
        // The session knows what to say.
    }
    if (hand_over(held)) return;
    held_ = std::move(held);
    set_enabled(false);
    if (arm_timer(event_, timer_, reply_patience_usec, on_timer, this) >= 0) return;
    // Without a timer nobody could be called late.
    refuse(listener, &held_->peer, "no room for it");
    go_on();
}

bool Datagrams::hand_over(Held& held) {
    const uid_t uid = held.peer.caller.uid;
    if (refused_for_now(uid)) {
        refuse(held.origin.listener, &held.peer,
               "refused for a while: a session of this user ended with packets unanswered");
        return true;
    }
    std::string reason;
    const std::string listener = held.origin.listener;
    const auto taken = pool_.admit(held.packet, held.origin, held.peer, reason);
    if (taken == SessionPool::Taken::refused) refuse(listener, &held.peer, reason);
    return taken != SessionPool::Taken::full;
}

// There may be room for the packet that is held.
void Datagrams::go_on() {
    if (!held_) return;
    // Handing it over may end a session, which comes back here.
    Held held = *std::move(held_);
    held_.reset();
    if (!hand_over(held)) {
        held_ = std::move(held);
        return;
    }
    if (!stopped_) set_enabled(true);
}

int Datagrams::on_timer(sd_event_source* /*source*/, std::uint64_t time, void* userdata) {
    auto* self = static_cast<Datagrams*>(userdata);
    // Where the guard itself did not get on, what sessions have answered waits to be read.
    if (self->held_ && monotonic_usec() > time + reply_patience_usec / 2 &&
        arm_timer(self->event_, self->timer_, reply_patience_usec / 4, on_timer, self) >= 0) {
        return 0;
    }
    if (self->when_stopped_) {
        self->finish_stopping();
    } else if (self->held_) {
        self->look_for_the_late();
    } else if (!self->stopped_) {
        self->set_enabled(true);
    }
    return 0;
}

void Datagrams::look_for_the_late() {
    pool_.end_those_with_packets_since(monotonic_usec() - reply_patience_usec);
    go_on();
    // Those that there are get on.
    if (held_) (void)arm_timer(event_, timer_, reply_patience_usec / 4, on_timer, this);
}

void Datagrams::packet_answered(const SessionProcess& session, const ConnectionInfo& packet,
                                const channel::Reply& reply) {
    const policy::Caller& caller = *session.caller();
    PacketOrigin& origin = *packet.packet;
    if (reply.fault != channel::PacketFault::none && !origin.recorded) {
        const Peer peer{caller, packet.pid, packet.unit};
        refuse(origin.listener, &peer,
               reply.fault == channel::PacketFault::no_message ? "the packet is no message"
                                                               : "the call needs a connection");
    }
    if (!origin.reply_path.empty() && !reply.bytes.empty()) {
        const bool sent = replier_->send(
            {origin.socket, caller.uid, caller.gid, std::move(origin.reply_path), reply.bytes});
        if (!sent) {
            const Peer peer{caller, packet.pid, packet.unit};
            refuse(origin.listener, &peer, "its reply was dropped: too many wait to be sent");
        }
        for (const std::string& failure : replier_->take_failures()) spdlog::debug("{}", failure);
    }
    go_on();
}

void Datagrams::packets_dropped(const SessionProcess& session) {
    for (const auto& [number, info] : session.connections()) {
        if (!info.packet) continue;
        const Peer peer{*session.caller(), info.pid, info.unit};
        refuse(info.packet->listener, &peer, "dropped: its session ended");
    }
    if (!session.failure().empty()) {
        const std::uint64_t now = monotonic_usec();
        std::erase_if(refused_until_usec_,
                      [now](const auto& entry) { return entry.second <= now; });
        refused_until_usec_[session.caller()->uid] = now + penalty_usec;
    }
    go_on();
}

bool Datagrams::refused_for_now(uid_t uid) {
    const auto found = refused_until_usec_.find(uid);
    if (found == refused_until_usec_.end()) return false;
    if (monotonic_usec() < found->second) return true;
    refused_until_usec_.erase(found);
    return false;
}

void Datagrams::refuse(const std::string& listener, const Peer* peer, const std::string& reason) {
    AuditEvent event;
    event.kind = AuditEvent::Kind::packet_refused;
    if (peer != nullptr) {
        event.caller = &peer->caller;
        event.pid = peer->pid;
        event.unit = peer->unit;
    }
    event.listener = listener;
    event.reason = reason;
    audit_.write(event);
}

void Datagrams::stop(std::function<void()> done) {
    stopped_ = true;
    set_enabled(false);
    if (is_idle()) return done();
    when_stopped_ = std::move(done);
    stop_until_usec_ = monotonic_usec() + stop_usec;
    if (arm_timer(event_, timer_, 0, on_timer, this) < 0) std::exchange(when_stopped_, {})();
}

// Nothing that was received is still to be answered, nor a reply to be sent.
bool Datagrams::is_idle() const {
    return !held_ && pool_.packets() == 0 && (!replier_ || replier_->pending() == 0);
}

void Datagrams::finish_stopping() {
    if (!is_idle() && monotonic_usec() < stop_until_usec_ &&
        arm_timer(event_, timer_, stop_poll_usec, on_timer, this) >= 0) {
        return;
    }
    if (held_) refuse(held_->origin.listener, &held_->peer, "dropped: the daemon stops");
    held_.reset();
    std::exchange(when_stopped_, {})();
}

}  // namespace postern
