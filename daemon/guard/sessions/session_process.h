// One postern-session, as the guard sees it: a process that speaks for one caller, and whose every
// packet is hostile.
//
// The guard never waits for it. Packets to it wait in a bounded queue, connections in their own,
// and a session that makes no progress for limits::session_patience is ended.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"
#include "daemon/guard/listen/identity.h"
#include "daemon/loop/closer.h"
#include "daemon/loop/event_source.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/verdict.h"

namespace postern {

// Of a packet of a datagram socket: what its answer needs, and what it is accounted for with.
struct PacketOrigin {
    std::string listener;          // name of the socket that it came to
    std::size_t socket = 0;        // the number of that socket
    std::string reply_path;        // empty: no reply is sent
    std::size_t bytes = 0;         // of its payload
    std::uint64_t since_usec = 0;  // received (CLOCK_MONOTONIC)
    bool recorded = false;         // the audit has a line about what is wrong with it
    bool called = false;           // its one call has been made
};

// What the guard knows of a connection besides whose it is. A packet is one too: it is numbered
// like a connection, and there from its hand-over to its reply.
struct ConnectionInfo {
    pid_t pid = 0;
    std::optional<std::string> unit;
    bool administrator = false;  // it came through the administrator's socket
    bool acknowledged = false;
    std::unique_ptr<PacketOrigin> packet = nullptr;  // null: a connection
};

// What sessions are started with.
struct SessionSettings {
    int program = -1;  // postern-session, opened when the guard started
    // The ids to drop to; absent in user mode, where there is nothing to drop to.
    std::optional<std::pair<uid_t, gid_t>> ids;
    std::uint64_t reply_output_bytes = 0;
    std::uint64_t idle_usec = 0;
    // Descriptors that one may have: its connections and the files of their jobs.
    std::uint64_t descriptors = 0;
};

class SessionProcess {
  public:
    enum class State : std::uint8_t {
        starting,  // spawned, not Ready yet
        serving,
        ending,  // its channel is closed; the process is not reaped yet
        gone,
    };

    // What the guard does about what a session does. Called from the loop; may call anything of the
    // session but must not delete it before returning.
    class Events {
      public:
        virtual ~Events() = default;
        // The message names a connection of this session, and its kind is one of the calls.
        virtual void session_called(SessionProcess& session, const channel::ToGuard& message) = 0;
        virtual void connection_closed(SessionProcess& session, std::uint64_t connection) = 0;
        // The packet is not the session's any more.
        virtual void packet_answered(SessionProcess& session, const ConnectionInfo& packet,
                                     const channel::Reply& reply) = 0;
        // The channel is closed, its connections are no more.
        virtual void session_ended(SessionProcess& session) = 0;
        // The process is reaped. `failure` says what it did wrong; empty: nothing.
        virtual void session_gone(SessionProcess& session, const std::string& failure) = 0;
    };

    // Spawns one. Errors: no descriptor, process or memory to be had.
    static Result<std::unique_ptr<SessionProcess>> start(sd_event* event, Closer& closer,
                                                         Events& events,
                                                         const SessionSettings& settings,
                                                         policy::Caller caller,
                                                         policy::SnapshotPtr snapshot);
    SessionProcess(sd_event* event, Closer& closer, Events& events, const SessionSettings& settings,
                   policy::Caller caller);
    ~SessionProcess();
    SessionProcess(const SessionProcess&) = delete;
    SessionProcess& operator=(const SessionProcess&) = delete;

    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] const std::shared_ptr<const policy::Caller>& caller() const { return caller_; }
    [[nodiscard]] const std::map<std::uint64_t, ConnectionInfo>& connections() const {
        return connections_;
    }
    // How many of them are packets, and the bytes of those.
    [[nodiscard]] std::size_t packets() const { return packet_times_.size(); }
    [[nodiscard]] std::size_t packet_bytes() const { return packet_bytes_; }
    // It has as many as it may have, or had and has not answered half of them yet.
    [[nodiscard]] bool packets_full() const { return packets_full_; }
    // When the oldest of them was received.
    [[nodiscard]] std::optional<std::uint64_t> oldest_packet_usec() const {
        if (packet_times_.empty()) return std::nullopt;
        return packet_times_.begin()->second;
    }
    // Why it was ended; empty: it did nothing wrong.
    [[nodiscard]] const std::string& failure() const { return failure_; }
    // When it last got a connection or made a call (CLOCK_MONOTONIC).
    [[nodiscard]] std::uint64_t last_used_usec() const { return last_used_usec_; }
    [[nodiscard]] pid_t pid() const { return pid_; }

    void add_connection(std::uint64_t id, UniqueFd connection, ConnectionInfo info);
    // A packet, in the same way; `info` has its origin. Precondition: not packets_full().
    void add_packet(channel::Datagram packet, ConnectionInfo info);
    void send(const channel::ToSession& message, std::vector<UniqueFd> descriptors = {});
    // Tells it what its caller may run from now on.
    void set_snapshot(policy::SnapshotPtr snapshot);
    // Closes the channel. An empty failure: it did nothing wrong.
    void end(const std::string& failure);

  private:
    struct Packet {
        channel::Bytes bytes;
        std::vector<UniqueFd> descriptors;
    };
    struct Waiting {
        std::uint64_t id;
        UniqueFd connection;
    };

    static int on_channel(sd_event_source* source, int fd, std::uint32_t revents, void* userdata);
    static int on_exit(sd_event_source* source, int fd, std::uint32_t revents, void* userdata);
    static int on_deadline(sd_event_source* source, std::uint64_t time, void* userdata);

    Status spawn(const SessionSettings& settings, int channel_end);
    void set_state(State state);
    void receive();
    void handle(const channel::ToGuard& message);
    void pump();
    bool pump_one();
    bool pump_connection();
    bool pump_packet();
    bool send_now(const Packet& packet);
    void handle_packet(std::uint64_t id, ConnectionInfo& info, const channel::ToGuard& message);
    void forget_packet(std::uint64_t id, const PacketOrigin& packet);
    void arm_deadline();
    // Since when we wait for the session to do something; absent: we don't.
    [[nodiscard]] std::optional<std::uint64_t> waiting_since_usec() const;

    sd_event* event_;
    Closer& closer_;
    Events& events_;
    std::uint64_t idle_usec_;
    std::shared_ptr<const policy::Caller> caller_;
    State state_ = State::starting;
    pid_t pid_ = -1;
    UniqueFd pidfd_;
    UniqueFd channel_;
    EventSource channel_source_;
    EventSource exit_source_;
    EventSource deadline_;
    // Why the channel was closed: what it did wrong, nothing, or it closed the channel itself, and
    // how its process ended will say why.
    std::string failure_;
    bool left_by_itself_ = false;

    std::map<std::uint64_t, ConnectionInfo> connections_;
    std::deque<Waiting> waiting_;  // accepted, not handed over yet
    std::size_t unacknowledged_ = 0;
    std::deque<channel::Datagram> packets_waiting_;
    std::map<std::uint64_t, std::uint64_t> packet_times_;  // when received, by number
    std::size_t packet_bytes_ = 0;
    bool packets_full_ = false;
    std::deque<Packet> queue_;
    std::size_t queue_bytes_ = 0;
    std::size_t queue_descriptors_ = 0;
    // The set that is being sent: too large for the queue, so one action at a time as there is
    // room.
    policy::SnapshotPtr sending_;
    std::vector<const policy::Action*> to_send_;
    std::size_t sent_ = 0;
    std::uint64_t last_used_usec_ = 0;
    // Started, acknowledged, or got the first of what it has to acknowledge.
    std::uint64_t acknowledged_usec_ = 0;
    // Took a packet, or got the first that it did not take at once.
    std::uint64_t taken_usec_ = 0;
};

}  // namespace postern
