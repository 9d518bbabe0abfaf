// All sessions: which one a connection goes to, and how many of everything one caller may have.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/guard/audit/audit.h"
#include "daemon/guard/calls/call_context.h"
#include "daemon/guard/config/limits.h"
#include "daemon/guard/listen/acceptor.h"
#include "daemon/guard/listen/identity.h"
#include "daemon/guard/listen/listener.h"
#include "daemon/guard/sessions/packet_load.h"
#include "daemon/guard/sessions/session_events.h"
#include "daemon/guard/sessions/session_process.h"
#include "daemon/guard/sessions/spare_session.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/ready_set.h"
#include "daemon/loop/turns.h"
#include "daemon/policy/snapshot.h"

namespace postern {

class SessionPool final : public SessionEvents, public ConnectionTaker {
  public:
    // All of these outlive it; nobody is told anything before the first connection.
    SessionPool(ReadySet& ready, Turns& turns, ConnectionCloser& closer, Audit& audit,
                CallHandler& calls, PoolHooks hooks, const Limits& limits,
                SessionSettings settings);
    ~SessionPool() override;
    SessionPool(const SessionPool&) = delete;
    SessionPool& operator=(const SessionPool&) = delete;

    // A session that was started before there is a caller: waits until it is ready, and the first
    // caller gets it. Not for inside the loop. Error: why no session can be had.
    Status try_session(Result<SpareSession> started);

    // Hands the connection to the session of its caller, which is started if there is none. Over a
    // limit, or where no session can be had, the connection is refused and that is audited.
    void admit(UniqueFd connection, Peer peer, const Listener& listener) override;
    // Where a limit is the reason the client is told so: one packet of constant bytes, which never
    // blocks, and which it can read whatever it had sent. (So it is with Unix sockets: what was
    // sent before the end is read before the error that unread data cause, unix(7), ECONNRESET.)
    void refuse(UniqueFd connection, const Peer* peer, const std::string& listener,
                const WhyRefused& why) override;

    // Sets who pays, by the snapshot in force; done for connections.
    void charge(policy::Caller& caller) const override;
    [[nodiscard]] PeerQuestions questions(const policy::Caller& caller) const override;

    enum class Taken : std::uint8_t { taken, full, refused };
    // Hands a packet to the session of its sender, in the same way. `full`: the session, or all of
    // them, have too many to answer first; nothing was taken, and there is nothing to audit.
    // `refused`: `reason` says why; the audit is the caller's to write.
    Taken admit(channel::Datagram& packet, PacketOrigin& origin, Peer& peer,
                const std::string& listener, std::string& reason);

    // Whether all sessions together have.
    [[nodiscard]] bool has_too_many_packets() const { return packet_load_.is_full(); }

    // Marks the sessions that have had a packet for longer than since then: they are ended in the
    // next turn of the loop.
    void end_those_with_packets_since(MonotonicTime since);

    void set_snapshot(const policy::SnapshotPtr& snapshot);

    [[nodiscard]] std::size_t connections() const { return connection_count_; }
    // Handed to sessions and not answered.
    [[nodiscard]] std::size_t packets() const { return packet_load_.packets(); }
    [[nodiscard]] std::size_t sessions() const { return by_key_.size(); }
    // One for each identity, in their order.
    [[nodiscard]] std::vector<CallerReport> report() const;

    // Ends all sessions and calls `done` when the last process is reaped, or when what is left does
    // not end by SIGKILL either, since something that its caller sent along stands still.
    void shut_down(std::function<void()> done);

  private:
    struct PerUid {  // of who pays
        std::size_t connections = 0;
        std::size_t sessions = 0;  // serving callers
        std::size_t ending = 0;    // closed, not reaped
    };

    void session_called(const CallPtr& call, const Call& asked) override;
    void connection_closed(SessionProcess& session) override;
    void packet_answered(SessionProcess& session, ConnectionInfo info,
                         channel::Reply reply) override;
    void session_ended(SessionProcess& session) override;
    void session_gone(SessionProcess& session, const std::string& failure) override;

    // Whom the session is for, among all that have the peer's ids.
    [[nodiscard]] SessionKey key_of(const Peer& peer, bool administrator) const;
    // Absent: found or made; else why there is none.
    std::optional<WhyRefused> find_session(const SessionKey& key, SessionProcess*& session);
    // Ends the session that was not used for longest: of those without a connection or, if
    // `connected`, of those without a job. False: there is none.
    bool evict(bool connected, const uid_t* uid);
    // Ends one that is marked at once, of this uid or of any, which makes room. False: there is
    // none.
    bool end_marked(const uid_t* uid);
    void forget_connections(uid_t uid, std::size_t count);
    void forget_if_unused(uid_t uid);

    ReadySet& ready_;
    Turns& turns_;
    ConnectionCloser& closer_;
    Audit& audit_;
    CallHandler& calls_;
    PoolHooks hooks_;
    const Limits& limits_;
    SessionSettings settings_;
    policy::SnapshotPtr snapshot_;
    std::set<std::string> listeners_;  // the names of those that connections came by
    std::optional<SpareSession> spare_;
    std::map<const SessionProcess*, std::shared_ptr<SessionProcess>> processes_;
    std::map<SessionKey, SessionProcess*> by_key_;  // until their channel is closed
    std::map<uid_t, PerUid> by_uid_;
    std::size_t connection_count_ = 0;
    PacketLoad packet_load_;
    std::uint64_t last_connection_ = 0;  // packets are numbered with them
    std::function<void()> when_empty_;
    EventSource empty_;
    Timer left_behind_;
};

}  // namespace postern
