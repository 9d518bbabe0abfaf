#include "daemon/guard/sessions/session_pool.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace postern {

SessionPool::SessionPool(sd_event* event, Closer& closer, Audit& audit, Calls& calls,
                         const Limits& limits, SessionSettings settings)
    : event_(event),
      closer_(closer),
      audit_(audit),
      calls_(calls),
      limits_(limits),
      settings_(std::move(settings)) {
    // Each connection, and the two files of each of its jobs while it follows them.
    settings_.descriptors = 3 * limits.connections_per_uid + 64;
}

SessionPool::~SessionPool() = default;

void SessionPool::refuse(UniqueFd connection, const Peer* peer, const std::string& listener,
                         const std::string& reason) {
    AuditEvent event;
    event.kind = AuditEvent::Kind::connection_refused;
    if (peer != nullptr) {
        event.caller = &peer->caller;
        event.pid = peer->pid;
        event.unit = peer->unit;
    }
    event.listener = listener;
    event.reason = reason;
    audit_.write(event);
    closer_.close(std::move(connection));
}

void SessionPool::admit(UniqueFd connection, const Peer& peer, const Listener& listener) {
    const uid_t uid = peer.caller.uid;
    const auto counted = by_uid_.find(uid);
    if (counted != by_uid_.end() && counted->second.connections >= limits_.connections_per_uid) {
        return refuse(std::move(connection), &peer, listener.name, "limit connections-per-uid");
    }
    if (connection_count_ >= limits_.connections && !make_way(true, nullptr)) {
        return refuse(std::move(connection), &peer, listener.name, "limit connections");
    }
    SessionProcess* session = nullptr;
    const std::string reason = find_session(key_of(peer), session);
    if (session == nullptr) return refuse(std::move(connection), &peer, listener.name, reason);
    ++by_uid_[uid].connections;
    ++connection_count_;
    session->add_connection(next_connection_++, std::move(connection),
                            {peer.pid, peer.unit, listener.administrator});
}

policy::Caller SessionPool::key_of(const Peer& peer) const {
    // Two processes of one user may be in different units: where a rule asks for that, they have
    // sessions of their own. Sessions from before such a rule count as of an unknown unit.
    policy::Caller caller = peer.caller;
    if (snapshot_->names_units) caller.unit = peer.unit;
    return caller;
}

SessionPool::Taken SessionPool::admit(channel::Datagram& packet, PacketOrigin& origin,
                                      const Peer& peer, std::string& reason) {
    if (packets_full_) return Taken::full;
    SessionProcess* session = nullptr;
    reason = find_session(key_of(peer), session);
    if (session == nullptr) return Taken::refused;
    if (session->packets_full()) return Taken::full;
    ++packet_count_;
    packet_bytes_ += origin.bytes;
    packets_full_ = packet_count_ >= limits::datagrams || packet_bytes_ >= limits::datagram_bytes;
    packet.connection = next_connection_++;
    ConnectionInfo info{peer.pid, peer.unit};
    info.packet = std::make_unique<PacketOrigin>(std::move(origin));
    session->add_packet(std::move(packet), std::move(info));
    return Taken::taken;
}

void SessionPool::end_those_with_packets_since(std::uint64_t since_usec) {
    std::vector<SessionProcess*> late;
    for (const auto& [caller, session] : by_caller_) {
        if (session->oldest_packet_usec().value_or(since_usec) < since_usec) {
            late.push_back(session);
        }
    }
    for (SessionProcess* session : late) session->end("it does not answer packets");
}

void SessionPool::forget_packets(std::size_t count, std::size_t bytes) {
    packet_count_ -= count;
    packet_bytes_ -= bytes;
    packets_full_ = packets_full_ && (packet_count_ > limits::datagrams / 2 ||
                                      packet_bytes_ > limits::datagram_bytes / 2);
}

void SessionPool::packet_answered(SessionProcess& session, const ConnectionInfo& packet,
                                  const channel::Reply& reply) {
    forget_packets(1, packet.packet->bytes);
    packet_events_->packet_answered(session, packet, reply);
}

std::string SessionPool::find_session(const policy::Caller& caller, SessionProcess*& session) {
    if (const auto found = by_caller_.find(caller); found != by_caller_.end()) {
        session = found->second;
        return {};
    }
    if (when_empty_) return "the daemon stops";
    const auto counted = by_uid_.find(caller.uid);
    if (counted != by_uid_.end()) {
        const PerUid& of_uid = counted->second;
        if (of_uid.sessions >= limits_.sessions_per_uid && !make_way(false, &caller.uid)) {
            return "limit sessions-per-uid";
        }
        // Those that don't go away are held back by descriptors that their caller sent; that stays
        // its own affair.
        if (of_uid.ending >= 2 * limits_.sessions_per_uid) return "limit sessions-per-uid (ending)";
    }
    if (by_caller_.size() >= limits_.sessions && !make_way(false, nullptr) &&
        !make_way(true, nullptr)) {
        return "limit sessions";
    }
    auto started = SessionProcess::start(event_, closer_, *this, settings_, caller, snapshot_);
    if (!started) {
        spdlog::error("session for uid {}: {}", caller.uid, started.error().message);
        return "no session: " + started.error().message;
    }
    session = started->get();
    processes_.emplace(session, std::move(*started));
    by_caller_.emplace(caller, session);
    ++by_uid_[caller.uid].sessions;
    spdlog::debug("session {} for uid {} started", session->pid(), caller.uid);
    return {};
}

std::vector<const SessionProcess*> SessionPool::serving() const {
    std::vector<const SessionProcess*> sessions;
    sessions.reserve(by_caller_.size());
    for (const auto& [caller, session] : by_caller_) sessions.push_back(session);
    return sessions;
}

bool SessionPool::make_way(bool connected, const uid_t* uid) {
    SessionProcess* oldest = nullptr;
    for (const auto& [caller, session] : by_caller_) {
        if (uid != nullptr && caller.uid != *uid) continue;
        if (connected ? calls_.has_jobs(*session) : !session->connections().empty()) continue;
        if (oldest == nullptr || session->last_used_usec() < oldest->last_used_usec()) {
            oldest = session;
        }
    }
    if (oldest == nullptr) return false;
    spdlog::info("session {} of uid {} gives way: a limit is reached", oldest->pid(),
                 oldest->caller()->uid);
    oldest->end("");
    return true;
}

void SessionPool::set_snapshot(const policy::SnapshotPtr& snapshot) {
    snapshot_ = snapshot;
    // A session may end while it is told, and leave the map.
    std::vector<SessionProcess*> sessions;
    sessions.reserve(by_caller_.size());
    for (const auto& [caller, session] : by_caller_) sessions.push_back(session);
    for (SessionProcess* session : sessions) session->set_snapshot(snapshot);
}

void SessionPool::session_called(SessionProcess& session, const channel::ToGuard& message) {
    if (const auto* manage = std::get_if<channel::Manage>(&message)) {
        administrator_->handle(session, *manage);
    } else {
        calls_.handle(session, message);
    }
}

void SessionPool::connection_closed(SessionProcess& session, std::uint64_t connection) {
    calls_.connection_closed(session, connection, jobs::Leaving::gone);
    administrator_->connection_closed(session, connection);
    forget_connections(session.caller()->uid, 1);
}

void SessionPool::forget_connections(uid_t uid, std::size_t count) {
    by_uid_[uid].connections -= count;
    connection_count_ -= count;
    forget_if_unused(uid);
}

void SessionPool::forget_if_unused(uid_t uid) {
    const auto counted = by_uid_.find(uid);
    if (counted == by_uid_.end()) return;
    const PerUid& of_uid = counted->second;
    if (of_uid.connections == 0 && of_uid.sessions == 0 && of_uid.ending == 0) {
        by_uid_.erase(counted);
    }
}

void SessionPool::session_ended(SessionProcess& session) {
    const policy::Caller& caller = *session.caller();
    const auto found = by_caller_.find(caller);
    // One that failed while it was being started is not counted yet.
    if (found == by_caller_.end() || found->second != &session) return;
    by_caller_.erase(found);
    PerUid& of_uid = by_uid_[caller.uid];
    --of_uid.sessions;
    ++of_uid.ending;
    for (const auto& [connection, info] : session.connections()) {
        if (info.packet) continue;
        calls_.connection_closed(session, connection, jobs::Leaving::interrupted);
        administrator_->connection_closed(session, connection);
    }
    forget_connections(caller.uid, session.connections().size() - session.packets());
    if (session.packets() == 0) return;
    forget_packets(session.packets(), session.packet_bytes());
    packet_events_->packets_dropped(session);
}

void SessionPool::session_gone(SessionProcess& session, const std::string& failure) {
    const policy::Caller& caller = *session.caller();
    if (!failure.empty()) {
        spdlog::warn("session {} of uid {} ended: {}", session.pid(), caller.uid, failure);
        AuditEvent event;
        event.kind = AuditEvent::Kind::session_failed;
        event.caller = &caller;
        event.reason = failure;
        audit_.write(event);
    }
    const auto found = processes_.find(&session);
    if (found == processes_.end()) return;
    --by_uid_[caller.uid].ending;
    forget_if_unused(caller.uid);
    gone_.push_back(std::move(found->second));
    processes_.erase(found);
    if (!cleanup_) {
        sd_event_source* source = nullptr;
        if (sd_event_add_defer(event_, &source, on_cleanup, this) < 0) return;
        cleanup_.reset(source);
    } else {
        sd_event_source_set_enabled(cleanup_.get(), SD_EVENT_ONESHOT);
    }
}

int SessionPool::on_cleanup(sd_event_source* /*source*/, void* userdata) {
    auto* self = static_cast<SessionPool*>(userdata);
    self->gone_.clear();
    if (self->when_empty_ && self->processes_.empty()) std::exchange(self->when_empty_, {})();
    return 0;
}

void SessionPool::shut_down(std::function<void()> done) {
    when_empty_ = std::move(done);
    std::vector<SessionProcess*> sessions;
    sessions.reserve(processes_.size());
    for (const auto& [key, session] : processes_) sessions.push_back(session.get());
    for (SessionProcess* session : sessions) session->end("");
    if (!processes_.empty()) return;
    sd_event_source* source = nullptr;
    if (sd_event_add_defer(event_, &source, on_cleanup, this) >= 0) cleanup_.reset(source);
}

}  // namespace postern
