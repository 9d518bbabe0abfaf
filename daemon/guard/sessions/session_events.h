// What a session does, and who deals with it.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include "daemon/channel/messages.h"
#include "daemon/guard/calls/call_context.h"
#include "model/call.h"

namespace postern {

class SessionProcess;
struct ConnectionInfo;

using MonotonicTime = std::chrono::steady_clock::time_point;

// Of a packet of a datagram socket: what its answer needs, and what it is accounted for with.
struct PacketOrigin {
    std::size_t socket = 0;  // the number of the socket that it came to
    std::string reply_path;  // empty: no reply is sent
    std::size_t bytes = 0;   // of its payload
    MonotonicTime received;
    bool recorded = false;  // the audit has a line about what is wrong with it
    bool called = false;    // its one call has been made
};

// What the guard does about what a session does. Called from the loop.
class SessionEvents {
  public:
    SessionEvents() = default;
    virtual ~SessionEvents() = default;
    SessionEvents(const SessionEvents&) = delete;
    SessionEvents& operator=(const SessionEvents&) = delete;
    // On a connection or about a packet that the session has.
    virtual void session_called(const CallPtr& call, const Call& asked) = 0;
    virtual void connection_closed(SessionProcess& session) = 0;
    // What came in with `info`, a packet, is not the session's any more.
    virtual void packet_answered(SessionProcess& session, ConnectionInfo info,
                                 channel::Reply reply) = 0;
    // The channel is closed; its connections and packets are still to be seen, for the last time.
    virtual void session_ended(SessionProcess& session) = 0;
    // The process is reaped. `failure` says what it did wrong; empty: nothing. It may be let go.
    virtual void session_gone(SessionProcess& session, const std::string& failure) = 0;
};

// What others have to do about it.
struct PoolHooks {
    // What becomes of the packets that were handed to sessions.
    std::function<void(const SessionProcess& session, ConnectionInfo info, channel::Reply reply)>
        answered;
    // The session is ended and its packets will not be answered.
    std::function<void(const SessionProcess& session)> dropped;
    // There are more or fewer of something than before, or a call was made.
    std::function<void()> changed;
};

}  // namespace postern
