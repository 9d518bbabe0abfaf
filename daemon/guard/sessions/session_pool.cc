#include "daemon/guard/sessions/session_pool.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <tuple>
#include <utility>

#include "base/limits.h"
#include "daemon/guard/listen/refusal.h"
#include "daemon/policy/owners.h"
#include "model/turned_away.h"

namespace postern {
namespace {

// How long its end waits for its sessions: longer than they have to leave before they are killed.
constexpr std::chrono::seconds end_patience{4};

WhyRefused of_limit(std::string_view limit) {
    return {"limit " + std::string(limit), limit};
}

}  // namespace

SessionPool::SessionPool(ReadySet& ready, Turns& turns, ConnectionCloser& closer, Audit& audit,
                         CallHandler& calls, PoolHooks hooks, const Limits& limits,
                         SessionSettings settings)
    : ready_(ready),
      turns_(turns),
      closer_(closer),
      audit_(audit),
      calls_(calls),
      hooks_(std::move(hooks)),
      limits_(limits),
      settings_(std::move(settings)),
      packet_load_(limits::datagrams, limits::datagram_bytes),
      left_behind_(ready.event(), [this] {
          if (!when_empty_) return;
          spdlog::warn("{} sessions can't be ended and are left behind", processes_.size());
          std::exchange(when_empty_, {})();
      }) {}

SessionPool::~SessionPool() = default;

Status SessionPool::try_session(Result<SpareSession> started) {
    POSTERN_TRY(spare_, postern::try_session(std::move(started), settings_));
    spare_->child->set_exited([this](const std::string& how) {
        spdlog::warn("the session that waited for the first caller: {}", how);
        spare_.reset();
    });
    return {};
}

void SessionPool::refuse(UniqueFd connection, const Peer* peer, const std::string& listener,
                         const WhyRefused& why) {
    audit_refusal(audit_, AuditEvent::Kind::connection_refused, peer, listener, why.reason);
    if (const TurnedAway* const row = find_turned_away(why.limit)) {
        const std::string reply = reply_of(*row);
        // One that takes no byte is gone already, or there is no memory.
        std::ignore =
            ::send(connection.get(), reply.data(), reply.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    closer_.refuse(std::move(connection));
}

void SessionPool::charge(policy::Caller& caller) const {
    // What makes no difference must make no other session either.
    if (policy::needs_no_process(snapshot_->people, caller)) caller.process_known = true;
    const uid_t payer = policy::payer_of(snapshot_->people, caller);
    caller.paid_by = payer == caller.uid ? std::nullopt : std::optional(payer);
}

PeerQuestions SessionPool::questions(const policy::Caller& caller) const {
    return {.unit = !snapshot_->units.empty(),
            .map = !policy::needs_no_process(snapshot_->people, caller)};
}

void SessionPool::admit(UniqueFd connection, Peer peer, const Listener& listener) {
    charge(peer.caller);
    const uid_t uid = peer.caller.payer();
    const auto is_over = [this, uid] {
        const auto counted = by_uid_.find(uid);
        return counted != by_uid_.end() &&
               counted->second.connections >= limits_.connections_per_user;
    };
    while (is_over() && end_marked(&uid)) {
    }
    if (is_over()) {
        return refuse(std::move(connection), &peer, listener.name, of_limit("connectionsPerUser"));
    }
    if (connection_count_ >= limits_.connections && !evict(true, nullptr)) {
        return refuse(std::move(connection), &peer, listener.name, of_limit("connections"));
    }
    SessionProcess* session = nullptr;
    if (const auto why = find_session(key_of(peer, listener.administrator), session)) {
        return refuse(std::move(connection), &peer, listener.name, *why);
    }
    ++by_uid_[uid].connections;
    ++connection_count_;
    session->add_connection(
        channel::ConnectionId{++last_connection_}, std::move(connection),
        {peer.pid, listener.administrator ? Way::administrator : Way::stream, peer.bytes_only,
         &*listeners_.insert(listener.name).first, std::move(peer.unit)});
    hooks_.changed();
}

SessionKey SessionPool::key_of(const Peer& peer, bool administrator) const {
    SessionKey key{peer.caller, std::nullopt, administrator};
    // Sessions from before a rule that names a unit count as of an unknown one.
    if (snapshot_->units.empty()) return key;
    if (auto unit = peer.unit.get()) {
        key.unit = snapshot_->units.contains(*unit) ? *std::move(unit) : "";
    }
    return key;
}

SessionPool::Taken SessionPool::admit(channel::Datagram& packet, PacketOrigin& origin, Peer& peer,
                                      const std::string& listener, std::string& reason) {
    if (packet_load_.is_full()) return Taken::full;
    const SessionKey key = key_of(peer, false);
    const auto found = by_key_.find(key);
    // Once the loop has ended it, its user has to wait for its penalty.
    if (found != by_key_.end() && !found->second->serves() &&
        found->second->packets().packets() > 0) {
        return Taken::full;
    }
    SessionProcess* session = nullptr;
    if (auto why = find_session(key, session)) {
        reason = std::move(why->reason);
        return Taken::refused;
    }
    if (session->packets().is_full()) return Taken::full;
    packet_load_.add(origin.bytes);
    packet.id = channel::ConnectionId{++last_connection_};
    packet.pid = peer.pid;
    packet.unit = peer.unit.is_read() ? std::optional(peer.unit.get().value_or("")) : std::nullopt;
    session->add_packet(
        std::move(packet),
        {peer.pid, Way::datagram, false, &*listeners_.insert(listener).first, std::move(peer.unit)},
        std::move(origin));
    hooks_.changed();
    return Taken::taken;
}

void SessionPool::end_those_with_packets_since(MonotonicTime since) {
    for (const auto& [key, session] : by_key_) {
        if (session->oldest_packet().value_or(since) < since) {
            session->end("it does not answer datagrams");
        }
    }
}

std::optional<WhyRefused> SessionPool::find_session(const SessionKey& key,
                                                    SessionProcess*& session) {
    const uid_t uid = key.caller.payer();
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
        if (found->second->serves()) {
            session = found->second;
            return std::nullopt;
        }
        // What is marked makes room for its successor.
        found->second->end_now("");
    }
    if (when_empty_) return WhyRefused{"the daemon stops"};
    const auto counted = by_uid_.find(uid);
    if (counted != by_uid_.end()) {
        const PerUid& of_uid = counted->second;
        if (of_uid.sessions >= limits_.sessions_per_user && !evict(false, &uid)) {
            return of_limit("sessionsPerUser");
        }
        // Those that don't go away are held back by descriptors that their caller sent; that stays
        // its own affair.
        if (of_uid.ending >= 2 * limits_.sessions_per_user) {
            return WhyRefused{"limit sessionsPerUser (ending)", "sessionsPerUser"};
        }
    }
    if (by_key_.size() >= limits_.sessions && !evict(false, nullptr) && !evict(true, nullptr)) {
        return of_limit("sessions");
    }
    auto started = SessionProcess::start(ready_, turns_, closer_, audit_, *this, settings_, key,
                                         snapshot_, std::exchange(spare_, std::nullopt));
    if (!started) {
        spdlog::error("session for {}: {}", audit_.names().uid_text(uid), started.error().message);
        return WhyRefused{"no session: " + started.error().message};
    }
    session = started->get();
    processes_.emplace(session, std::move(*started));
    // What was ended above told nobody who could have started another one.
    const bool only_one = by_key_.emplace(key, session).second;
    assert(only_one);
    std::ignore = only_one;
    ++by_uid_[uid].sessions;
    spdlog::debug("session {} for uid {} started", session->pid(), uid);
    return std::nullopt;
}

std::vector<CallerReport> SessionPool::report() const {
    std::vector<CallerReport> reports;
    reports.reserve(by_key_.size());
    for (const auto& [key, session] : by_key_) {
        const std::size_t count = session->connections().size() - session->packets().packets();
        reports.push_back({key.caller.uid, key.caller.gid, key.unit.value_or(""), session->pid(),
                           static_cast<std::uint32_t>(count)});
    }
    return reports;
}

bool SessionPool::end_marked(const uid_t* uid) {
    const auto marked = std::ranges::find_if(by_key_, [uid](const auto& entry) {
        return !entry.second->serves() && (uid == nullptr || entry.first.caller.payer() == *uid);
    });
    if (marked == by_key_.end()) return false;
    marked->second->end_now("");
    return true;
}

bool SessionPool::evict(bool connected, const uid_t* uid) {
    if (end_marked(uid)) return true;
    SessionProcess* oldest = nullptr;
    for (const auto& [key, session] : by_key_) {
        if (uid != nullptr && key.caller.payer() != *uid) continue;
        if (connected ? session->has_ongoing_calls() : !session->connections().empty()) continue;
        if (oldest == nullptr || session->last_used() < oldest->last_used()) oldest = session;
    }
    if (oldest == nullptr) return false;
    spdlog::info("session {} of {} is evicted: a limit is reached", oldest->pid(),
                 audit_.names().uid_text(oldest->caller()->uid));
    oldest->end_now("");
    return true;
}

void SessionPool::set_snapshot(const policy::SnapshotPtr& snapshot) {
    snapshot_ = snapshot;
    for (const auto& [key, session] : by_key_) session->set_snapshot(snapshot);
}

void SessionPool::session_called(const CallPtr& call, const Call& asked) {
    calls_.handle(call, asked);
    hooks_.changed();
}

void SessionPool::connection_closed(SessionProcess& session) {
    forget_connections(session.caller()->payer(), 1);
    hooks_.changed();
}

void SessionPool::packet_answered(SessionProcess& session, ConnectionInfo info,
                                  channel::Reply reply) {
    packet_load_.remove(1, info.packet->bytes);
    hooks_.answered(session, std::move(info), std::move(reply));
    hooks_.changed();
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
    const auto found = by_key_.find(session.key());
    // One that failed while it was being started is not counted yet.
    if (found == by_key_.end() || found->second != &session) return;
    by_key_.erase(found);
    PerUid& of_uid = by_uid_[caller.payer()];
    --of_uid.sessions;
    ++of_uid.ending;
    hooks_.changed();
    const PacketLoad& packets = session.packets();
    forget_connections(caller.payer(), session.connections().size() - packets.packets());
    if (packets.packets() == 0) return;
    packet_load_.remove(packets.packets(), packets.bytes());
    hooks_.dropped(session);
}

void SessionPool::session_gone(SessionProcess& session, const std::string& failure) {
    const policy::Caller& caller = *session.caller();
    if (!failure.empty()) {
        spdlog::warn("session {} of {} ended: {}", session.pid(),
                     audit_.names().uid_text(caller.uid), failure);
        AuditEvent event;
        event.kind = AuditEvent::Kind::session_failed;
        event.caller = &caller;
        event.reason = failure;
        audit_.write(event);
    }
    const auto found = processes_.find(&session);
    if (found == processes_.end()) return;
    --by_uid_[caller.payer()].ending;
    forget_if_unused(caller.payer());
    processes_.erase(found);
    if (when_empty_ && processes_.empty()) std::exchange(when_empty_, {})();
}

void SessionPool::shut_down(std::function<void()> done) {
    when_empty_ = std::move(done);
    spare_.reset();
    for (const auto& [key, session] : processes_) session->end("");
    if (!processes_.empty()) {
        (void)left_behind_.arm(end_patience);
        return;
    }
    (void)add_defer(ready_.event(), empty_, [this] { std::exchange(when_empty_, {})(); });
}

}  // namespace postern
