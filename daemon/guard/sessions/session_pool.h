// All sessions: which one a connection goes to, and how many of everything one caller may have.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/guard/audit/audit.h"
#include "daemon/guard/calls/calls.h"
#include "daemon/guard/config/limits.h"
#include "daemon/guard/listen/identity.h"
#include "daemon/guard/listen/listener.h"
#include "daemon/guard/sessions/session_process.h"
#include "daemon/loop/closer.h"
#include "daemon/loop/event_source.h"
#include "daemon/policy/snapshot.h"

namespace postern {

class SessionPool final : public SessionProcess::Events {
  public:
    // Who answers what the administrator asks.
    class Administrator {
      public:
        virtual ~Administrator() = default;
        // Precondition: the message names a connection of this session.
        virtual void handle(SessionProcess& session, const channel::Manage& call) = 0;
        virtual void connection_closed(const SessionProcess& session, std::uint64_t connection) = 0;
    };

    // What becomes of the packets that were handed to sessions.
    class PacketEvents {
      public:
        virtual ~PacketEvents() = default;
        virtual void packet_answered(const SessionProcess& session, const ConnectionInfo& packet,
                                     const channel::Reply& reply) = 0;
        // The session is ended and its packets will not be answered.
        virtual void packets_dropped(const SessionProcess& session) = 0;
    };

    SessionPool(sd_event* event, Closer& closer, Audit& audit, Calls& calls, const Limits& limits,
                SessionSettings settings);
    ~SessionPool() override;
    SessionPool(const SessionPool&) = delete;
    SessionPool& operator=(const SessionPool&) = delete;

    // Hands the connection to the session of its caller, which is started if there is none. Over a
    // limit, or where no session can be had, the connection is refused and that is audited.
    void admit(UniqueFd connection, const Peer& peer, const Listener& listener);

    enum class Taken : std::uint8_t { taken, full, refused };
    // Hands a packet to the session of its sender, in the same way. `full`: the session, or all of
    // them, have too many to answer first; nothing was taken, and there is nothing to audit.
    // `refused`: `reason` says why; the audit is the caller's to write.
    Taken admit(channel::Datagram& packet, PacketOrigin& origin, const Peer& peer,
                std::string& reason);

    // Ends the sessions that have had a packet since before `since_usec` (CLOCK_MONOTONIC).
    void end_those_with_packets_since(std::uint64_t since_usec);

    // Set before the first connection, and there as long as this.
    void set_administrator(Administrator& administrator) { administrator_ = &administrator; }

    // Set before the first packet, and there as long as this.
    void set_packet_events(PacketEvents& events) { packet_events_ = &events; }

    // Refuses a connection of whom the kernel said so much.
    void refuse(UniqueFd connection, const Peer* peer, const std::string& listener,
                const std::string& reason);

    void set_snapshot(const policy::SnapshotPtr& snapshot);

    [[nodiscard]] std::size_t connections() const { return connection_count_; }
    // Handed to sessions and not answered.
    [[nodiscard]] std::size_t packets() const { return packet_count_; }
    [[nodiscard]] std::size_t sessions() const { return by_caller_.size(); }
    // One for each identity, in their order.
    [[nodiscard]] std::vector<const SessionProcess*> serving() const;

    // Ends all sessions and calls `done` when the last process is reaped.
    void shut_down(std::function<void()> done);

  private:
    struct PerUid {
        std::size_t connections = 0;
        std::size_t sessions = 0;  // serving callers
        std::size_t ending = 0;    // closed, not reaped
    };

    void session_called(SessionProcess& session, const channel::ToGuard& message) override;
    void connection_closed(SessionProcess& session, std::uint64_t connection) override;
    void packet_answered(SessionProcess& session, const ConnectionInfo& packet,
                         const channel::Reply& reply) override;
    void session_ended(SessionProcess& session) override;
    void session_gone(SessionProcess& session, const std::string& failure) override;

    // Whom the session is for, among all that have the peer's ids.
    [[nodiscard]] policy::Caller key_of(const Peer& peer) const;
    void forget_packets(std::size_t count, std::size_t bytes);
    // Empty: found or made; else the reason why there is none.
    std::string find_session(const policy::Caller& caller, SessionProcess*& session);
    // Ends the session that was not used for longest: of those without a connection or, if
    // `connected`, of those without a job. False: there is none.
    bool make_way(bool connected, const uid_t* uid);
    void forget_connections(uid_t uid, std::size_t count);
    void forget_if_unused(uid_t uid);
    static int on_cleanup(sd_event_source* source, void* userdata);

    sd_event* event_;
    Closer& closer_;
    Audit& audit_;
    Calls& calls_;
    const Limits& limits_;
    SessionSettings settings_;
    policy::SnapshotPtr snapshot_;
    Administrator* administrator_ = nullptr;
    PacketEvents* packet_events_ = nullptr;
    std::map<const SessionProcess*, std::unique_ptr<SessionProcess>> processes_;
    std::map<policy::Caller, SessionProcess*> by_caller_;  // starting or serving
    std::map<uid_t, PerUid> by_uid_;
    std::size_t connection_count_ = 0;
    std::size_t packet_count_ = 0;
    std::size_t packet_bytes_ = 0;
    bool packets_full_ = false;          // as in SessionProcess, for all of them
    std::uint64_t next_connection_ = 1;  // packets are numbered with them
    // Sessions that are gone, until no function of theirs is on the stack.
    std::vector<std::unique_ptr<SessionProcess>> gone_;
    EventSource cleanup_;
    std::function<void()> when_empty_;
};

}  // namespace postern
