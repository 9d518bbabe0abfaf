// One postern-session, as the guard sees it: a process that speaks for one caller, and whose every
// packet is hostile.
//
// What it sends is dealt with one message at a time, in the turns of whoever pays for its caller.
//
// The guard never waits for it. Messages to it wait in a bounded queue, connections in their own,
// and a session that makes no progress for limits::session_patience is ended.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"
#include "daemon/guard/audit/audit.h"
#include "daemon/guard/calls/call_context.h"
#include "daemon/guard/listen/connection_closer.h"
#include "daemon/guard/listen/late_unit.h"
#include "daemon/guard/sessions/outbox.h"
#include "daemon/guard/sessions/packet_load.h"
#include "daemon/guard/sessions/session_events.h"
#include "daemon/guard/sessions/spare_session.h"
#include "daemon/loop/child.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/ready_set.h"
#include "daemon/loop/turns.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/verdict.h"

namespace postern {

// Where a connection, or a packet, comes from, besides its session's caller.
struct CameFrom {
    pid_t pid = 0;
    Way way = Way::stream;
    bool bytes_only = false;  // as of Peer
    const std::string* listener = nullptr;
    LateUnit unit;
};

using OngoingCalls = std::map<channel::RequestId, std::unique_ptr<OngoingCall>>;

// What the guard knows of a connection. A packet of the datagram socket is one too: it is numbered
// like a connection, and there from its hand-over to its reply. There are thousands that nobody
// uses, so what few have is apart.
struct ConnectionInfo {
    CameFrom from;
    // The guard's own copy, for a client that may yet be given descriptors (a session can send
    // none). Only while its caller may run an action whose data goes straight; the one call that
    // does takes it, and it goes with the connection.
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    UniqueFd socket = {};
    bool hands_over = false;  // a call has taken it
    bool handed_over = false;
    bool acknowledged = false;
    std::unique_ptr<PacketOrigin> packet = nullptr;   // null: a connection
    std::unique_ptr<OngoingCalls> ongoing = nullptr;  // null: none
};
static_assert(sizeof(ConnectionInfo) <= 64);

// Whom a session is for: callers that differ in any of this never share one. Two processes of one
// user may be in different units: only where some rule names that very unit it makes a difference.
struct SessionKey {
    policy::Caller caller;
    policy::Unit unit = std::nullopt;  // named by a rule; "": known, and named by none
    bool administrator = false;        // of the administrator's socket
    auto operator<=>(const SessionKey&) const = default;
};

class SessionProcess : public std::enable_shared_from_this<SessionProcess> {
  public:
    enum class State : std::uint8_t {
        starting,  // spawned, not Ready yet
        serving,
        marked,  // to be ended by the loop: nothing is sent or received any more
        ending,  // its channel is closed; the process is not reaped yet
        gone,
    };

    // Takes the spare one, or spawns one. Errors: no descriptor, process or memory to be had.
    static Result<std::shared_ptr<SessionProcess>> start(
        ReadySet& ready, Turns& turns, ConnectionCloser& closer, Audit& audit,
        SessionEvents& events, const SessionSettings& settings, const SessionKey& key,
        policy::SnapshotPtr snapshot, std::optional<SpareSession> spare = std::nullopt);
    SessionProcess(ReadySet& ready, Turns& turns, ConnectionCloser& closer, Audit& audit,
                   SessionEvents& events, const SessionSettings& settings, const SessionKey& key);
    ~SessionProcess();
    SessionProcess(const SessionProcess&) = delete;
    SessionProcess& operator=(const SessionProcess&) = delete;

    [[nodiscard]] State state() const { return state_; }
    // Whether it is to be given anything.
    [[nodiscard]] bool serves() const { return state_ <= State::serving; }
    [[nodiscard]] const SessionKey& key() const { return *key_; }
    [[nodiscard]] const std::shared_ptr<const policy::Caller>& caller() const { return caller_; }
    using Connections = std::unordered_map<channel::ConnectionId, ConnectionInfo>;
    [[nodiscard]] const Connections& connections() const { return connections_; }
    // Null: it has no such one.
    [[nodiscard]] ConnectionInfo* connection(channel::ConnectionId id);
    [[nodiscard]] Origin origin_of(const ConnectionInfo& info) const;

    // As CallLink has them.
    bool take_hand_over(channel::ConnectionId id);
    bool hand_over(channel::ConnectionId id, const std::string& bytes,
                   const std::vector<UniqueFd>& descriptors);
    // Calls that go on are kept by their connection, which must be there.
    void keep(channel::ConnectionId id, channel::RequestId request,
              std::unique_ptr<OngoingCall> call);
    void forget(channel::ConnectionId id, channel::RequestId request);
    // Those of them that are packets.
    [[nodiscard]] const PacketLoad& packets() const { return packets_; }
    // When the oldest of them that the session has to answer was received, or its call was
    // answered.
    [[nodiscard]] std::optional<MonotonicTime> oldest_packet() const;
    // Whether a call of it goes on: a job is followed.
    [[nodiscard]] bool has_ongoing_calls() const { return ongoing_calls_ > 0; }
    // Why it was ended; empty: it did nothing wrong.
    [[nodiscard]] const std::string& failure() const { return failure_; }
    // When it last got a connection or made a call.
    [[nodiscard]] MonotonicTime last_used() const { return last_used_; }
    [[nodiscard]] pid_t pid() const { return child_->pid(); }

    // The listener's name outlives this.
    void add_connection(channel::ConnectionId id, UniqueFd connection, CameFrom from);
    // A packet, in the same way. Precondition: packets() are not full.
    void add_packet(channel::Datagram packet, CameFrom from, PacketOrigin about);
    // Never ends it at once: what goes wrong marks it.
    void send(channel::Envelope<channel::ToSession> message,
              std::vector<UniqueFd> descriptors = {});
    // Tells it what its caller may run from now on.
    void set_snapshot(policy::SnapshotPtr snapshot);
    // Marks it: the loop ends it in its next turn. An empty failure: it did nothing wrong.
    void end(const std::string& failure);
    // The same at once: not from inside of what it calls.
    void end_now(const std::string& failure);

  private:
    struct Waiting {
        channel::ConnectionId id;
        UniqueFd connection;
    };
    // A packet that was received together with the one before it, until its step.
    struct Held {
        channel::Received::State state;
        bool refused_descriptors;
        channel::Bytes packet;
    };

    void take_over(std::unique_ptr<Child> child);
    void set_state(State state);
    void greet(const SessionSettings& settings, policy::SnapshotPtr snapshot);
    Turns::Step on_turn();
    void on_exit(const std::string& how);
    void on_deadline();
    Turns::Step receive();
    void take(channel::Received::State state, bool refused_descriptors,
              std::span<const std::uint8_t> packet);
    void handle(channel::Envelope<channel::ToGuard>& message);
    void handle_ready(const channel::Ready& ready);
    ConnectionInfo* own_connection(channel::ConnectionId id);
    void handle_accepted(const channel::Accepted& accepted);
    void handle_closed(const channel::Closed& closed);
    void close_connection(channel::ConnectionId id, channel::CloseCause cause);
    void audit_dropped(const Origin& origin, channel::CloseCause cause);
    void handle_reply(channel::Reply& reply);
    void pump();
    void hand_over_what_waits();
    void watch_channel();
    bool pump_packets();
    bool pump_connections();
    bool send_now(const channel::Bytes& message, std::span<const int> descriptors);
    void channel_broke();
    void close_channel();
    void arm_deadline();
    [[nodiscard]] bool was_handed_over(channel::ConnectionId id, const ConnectionInfo& info) const;
    // Since when we wait for the session to do something; absent: we don't.
    [[nodiscard]] std::optional<MonotonicTime> waiting_since() const;
    // When it is to be ended, unless something happens before; absent: never.
    [[nodiscard]] std::optional<MonotonicTime> deadline() const;

    ConnectionCloser& closer_;
    Audit& audit_;
    SessionEvents& events_;
    std::chrono::microseconds idle_;
    std::shared_ptr<const SessionKey> key_;
    std::shared_ptr<const policy::Caller> caller_;  // the key's own
    State state_ = State::starting;
    UniqueFd channel_;
    // Edge-triggered, so that what waits for its turn does not wake the loop again and again.
    ReadySet::Source channel_source_;
    std::unique_ptr<const Held> held_;
    bool blocked_ = false;  // the channel took less than there is to send
    Turns::Task turn_;
    // What waits is handed over together, with what else was admitted in the same run of turns.
    Turns::Late hand_over_;
    EventSource end_source_;
    Timer timer_;
    std::optional<MonotonicTime> timer_at_;  // when it goes off, which may be before the deadline
    // Why the channel was closed: what it did wrong, nothing, or it closed the channel itself, and
    // how its process ended will say why.
    std::string failure_;
    bool left_by_itself_ = false;

    Connections connections_;
    std::deque<Waiting> waiting_;  // accepted, not handed over yet
    std::size_t unacknowledged_ = 0;
    std::deque<channel::Datagram> packets_waiting_;
    // The session's to answer, by since when.
    std::set<std::pair<MonotonicTime, channel::ConnectionId>> packets_due_;
    PacketLoad packets_;
    std::size_t ongoing_calls_ = 0;  // of all connections
    bool keeps_sockets_ = false;     // the caller may run an action whose data goes straight
    Outbox outbox_;
    MonotonicTime last_used_;
    // Started, acknowledged, or got the first of what it has to acknowledge.
    MonotonicTime acknowledged_;
    // Took a message, or got the first that it did not take at once.
    MonotonicTime taken_;
    std::unique_ptr<Child> child_;  // there once it is started
};

}  // namespace postern
