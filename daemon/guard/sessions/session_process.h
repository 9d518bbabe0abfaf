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
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"
#include "daemon/guard/audit/audit.h"
#include "daemon/guard/calls/call_context.h"
#include "daemon/guard/listen/connection_closer.h"
#include "daemon/guard/sessions/outbox.h"
#include "daemon/guard/sessions/packet_load.h"
#include "daemon/guard/sessions/session_events.h"
#include "daemon/guard/sessions/spare_session.h"
#include "daemon/loop/child.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/turns.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/verdict.h"

namespace postern {

// What the guard knows of a connection. A packet of the datagram socket is one too: it is numbered
// like a connection, and there from its hand-over to its reply.
struct ConnectionInfo {
    Origin origin;
    bool acknowledged = false;
    std::optional<PacketOrigin> packet = std::nullopt;  // absent: a connection
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::map<channel::RequestId, std::unique_ptr<OngoingCall>> ongoing = {};
    // The guard's own copy, for a client that may yet be given descriptors (a session can send
    // none). Only while its caller may run an action whose data goes straight; the one call that
    // does takes it, and it goes with the connection.
    // NOLINTNEXTLINE(readability-redundant-member-init)
    UniqueFd socket = {};
    bool hands_over = false;  // a call has taken it
};

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
        sd_event* event, Turns& turns, ConnectionCloser& closer, Audit& audit,
        SessionEvents& events, const SessionSettings& settings, const SessionKey& key,
        policy::SnapshotPtr snapshot, std::optional<SpareSession> spare = std::nullopt);
    SessionProcess(sd_event* event, Turns& turns, ConnectionCloser& closer, Audit& audit,
                   SessionEvents& events, const SessionSettings& settings, const SessionKey& key);
    ~SessionProcess();
    SessionProcess(const SessionProcess&) = delete;
    SessionProcess& operator=(const SessionProcess&) = delete;

    [[nodiscard]] State state() const { return state_; }
    // Whether it is to be given anything.
    [[nodiscard]] bool serves() const { return state_ <= State::serving; }
    [[nodiscard]] const SessionKey& key() const { return *key_; }
    [[nodiscard]] const std::shared_ptr<const policy::Caller>& caller() const { return caller_; }
    [[nodiscard]] const std::map<channel::ConnectionId, ConnectionInfo>& connections() const {
        return connections_;
    }
    // Null: it has no such one.
    [[nodiscard]] ConnectionInfo* connection(channel::ConnectionId id);

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

    void add_connection(channel::ConnectionId id, UniqueFd connection, ConnectionInfo info);
    // A packet, in the same way. Precondition: packets() are not full.
    void add_packet(channel::ConnectionId id, channel::Datagram packet, Origin origin,
                    PacketOrigin about);
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

    void take_over(std::unique_ptr<Child> child);
    void set_state(State state);
    void greet(const SessionSettings& settings, policy::SnapshotPtr snapshot);
    Turns::Step on_turn();
    void on_exit(const std::string& how);
    void on_deadline();
    // One message: its bytes. Absent: none waits.
    std::optional<std::size_t> receive();
    void handle(channel::Envelope<channel::ToGuard>& message);
    void handle_ready(const channel::Ready& ready);
    void handle_accepted(channel::ConnectionId id, ConnectionInfo& info);
    void handle_closed(channel::ConnectionId id, channel::CloseCause cause);
    void audit_dropped(const Origin& origin, channel::CloseCause cause);
    void handle_reply(channel::ConnectionId id, PacketOrigin& packet, channel::Reply& reply);
    void pump();
    bool pump_packet();
    bool pump_connection();
    bool send_now(const channel::Bytes& message, std::span<const int> descriptors);
    void channel_broke();
    void close_channel();
    void arm_deadline();
    [[nodiscard]] bool was_handed_over(channel::ConnectionId id, const ConnectionInfo& info) const;
    // Since when we wait for the session to do something; absent: we don't.
    [[nodiscard]] std::optional<MonotonicTime> waiting_since() const;

    sd_event* event_;
    ConnectionCloser& closer_;
    Audit& audit_;
    SessionEvents& events_;
    std::chrono::microseconds idle_;
    std::shared_ptr<const SessionKey> key_;
    std::shared_ptr<const policy::Caller> caller_;  // the key's own
    State state_ = State::starting;
    UniqueFd channel_;
    // Edge-triggered, so that what waits for its turn does not wake the loop again and again.
    EventSource channel_source_;
    bool blocked_ = false;  // the channel took less than there is to send
    Turns::Task turn_;
    EventSource end_source_;
    Timer deadline_;
    // Why the channel was closed: what it did wrong, nothing, or it closed the channel itself, and
    // how its process ended will say why.
    std::string failure_;
    bool left_by_itself_ = false;

    std::map<channel::ConnectionId, ConnectionInfo> connections_;
    std::deque<Waiting> waiting_;  // accepted, not handed over yet
    std::size_t unacknowledged_ = 0;
    std::deque<std::pair<channel::ConnectionId, channel::Datagram>> packets_waiting_;
    std::set<channel::ConnectionId> packet_ids_;  // numbered in the order in which they came
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
