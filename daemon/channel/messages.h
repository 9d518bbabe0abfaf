// The messages between guard and session: what may be said, and nothing else.
//
// One SOCK_SEQPACKET packet is one message, and every message is the same envelope around a body:
//
//     byte 0      version of this protocol (channel::version)
//     byte 1      kind: which body
//     byte 2, 3   zero
//     byte 4-7    length of the body, little-endian
//     byte 8-15   the connection that it is about, or 0
//     byte 16-19  the request that it is about, or 0
//     byte 20...  body: its `fields` in their order. Integers are little-endian and of fixed
//                 size, a string or list is preceded by its 32-bit length, an optional field by
//                 one byte that is 0 or 1.
//
// A packet is at most limits::packet_bytes long. Whatever does not decode to its last byte, or
// names a connection or a request where its kind has none, is no message: the receiver ends the
// channel. The guard trusts no field: ids are looked up among what it gave to this very session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "model/action.h"
#include "model/call.h"

namespace postern::channel {

inline constexpr std::uint8_t version = 5;

// The descriptor that a session finds its channel on.
inline constexpr int session_fd = 3;

using Bytes = std::vector<std::uint8_t>;

// A connection of a caller, numbered by the guard; a packet of the datagram socket is numbered like
// one, and there from its hand-over to its reply. Numbers are not used again while a session lives.
enum class ConnectionId : std::uint64_t {};
// A call, numbered by the session; the number comes back in every answer. It must not be that of
// another call of this connection that is not answered yet.
enum class RequestId : std::uint32_t {};

template <typename Body>
struct Envelope {
    ConnectionId connection{};
    RequestId request{};
    Body body;
};

// ---- Guard to session ----

// The first message: whom this session speaks for. Groups follow in their own messages, since
// 65,536 of them (NGROUPS_MAX) do not fit into one packet.
struct Welcome {
    std::string guard_version;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint32_t group_count = 0;
    // Bytes of each stream that a Run without "more" answers with.
    std::uint64_t reply_output_bytes = 0;
    static constexpr auto fields = std::tuple(&Welcome::guard_version, &Welcome::uid, &Welcome::gid,
                                              &Welcome::group_count, &Welcome::reply_output_bytes);
};

// The next groups of the identity, ascending, at most `groups_per_message`.
inline constexpr std::size_t groups_per_message = 16384;
struct Groups {
    std::vector<std::uint32_t> groups;
    static constexpr auto fields = std::tuple(&Groups::groups);
};

// A new set of granted actions: Begin, `count` times Action, End. The old set is in force until
// End. Another Begin in between drops what has come of the set that it interrupts.
struct SnapshotBegin {
    std::uint32_t count = 0;
    static constexpr auto fields = std::tuple(&SnapshotBegin::count);
};
struct SnapshotAction {
    ActionDescription action;
    static constexpr auto fields = std::tuple(&SnapshotAction::action);
};
struct SnapshotEnd {
    static constexpr auto fields = std::tuple<>();
};

// How many connections, or packets, one message is about at most; it is about one at least.
inline constexpr std::size_t connections_per_message = 16;
// Bytes of the texts of several packets in one message; one alone may have more.
inline constexpr std::size_t texts_per_message = limits::packet_bytes / 2;

struct Connection {
    ConnectionId id{};
    std::int32_t pid = 0;
    // Empty: not known. Absent: not asked yet, UnitCall does.
    std::optional<std::string> unit = std::string();
    // It came through the administrator's socket, and is the administrator's.
    bool administrator = false;
    // The guard keeps no copy of the descriptor: to close it ends the connection.
    bool alone = false;
    static constexpr auto fields = std::tuple(&Connection::id, &Connection::pid, &Connection::unit,
                                              &Connection::administrator, &Connection::alone);
};

// Connections, with as many descriptors, in this order. The session answers with Accepted.
struct Connections {
    std::vector<Connection> all;
    static constexpr auto fields = std::tuple(&Connections::all);
};

// A packet, unopened. It has one call at most, and ends with the session's Reply. What is wrong
// with it as a packet, the guard has seen already.
struct Datagram {
    ConnectionId id{};
    std::int32_t pid = 0;
    std::optional<std::string> unit = std::string();  // as of a Connection
    std::string payload;       // at most limits::message_bytes and a terminator
    bool too_long = false;     // ... and it was more than that: the payload is left out
    bool descriptors = false;  // some came along, and are closed
    static constexpr auto fields =
        std::tuple(&Datagram::id, &Datagram::pid, &Datagram::unit, &Datagram::payload,
                   &Datagram::too_long, &Datagram::descriptors);
};

// Packets, in the order in which they came.
struct Datagrams {
    std::vector<Datagram> all;
    static constexpr auto fields = std::tuple(&Datagrams::all);
};

// ---- Session to guard ----

// The session has dropped everything and serves.
struct Ready {
    std::string session_version;
    static constexpr auto fields = std::tuple(&Ready::session_version);
};

// The descriptors of these connections have arrived.
struct Accepted {
    std::vector<ConnectionId> all;
    static constexpr auto fields = std::tuple(&Accepted::all);
};

// Why the session is done with a connection, for the audit.
enum class CloseCause : std::uint8_t {
    over = 0,           // the client is gone, or was sent away
    holds_most = 1,     // of more unread replies than a session holds, this client had most
    reads_nothing = 2,  // for limits::unread_patience
};

// No message names these connections any more.
struct ClosedConnection {
    ConnectionId id{};
    CloseCause cause = CloseCause::over;
    static constexpr auto fields = std::tuple(&ClosedConnection::id, &ClosedConnection::cause);
};
struct Closed {
    std::vector<ClosedConnection> all;
    static constexpr auto fields = std::tuple(&Closed::all);
};

// What a packet turned out to be, for the audit.
enum class PacketFault : std::uint8_t {
    none = 0,
    no_message = 1,     // not a message of the protocol
    not_available = 2,  // a method, or a way of calling it, that needs a connection
};

// The packet is dealt with. No message names it any more.
struct Reply {
    ConnectionId id{};
    PacketFault fault = PacketFault::none;
    std::string bytes;  // for its sender, at most limits::datagram_reply_bytes; empty: no reply
    static constexpr auto fields = std::tuple(&Reply::id, &Reply::fault, &Reply::bytes);
};
struct Replies {
    std::vector<Reply> all;
    static constexpr auto fields = std::tuple(&Replies::all);
};

// ---- All of them ----

template <typename... Own, typename... Shared>
std::variant<Own..., Shared...> join(std::variant<Own...>, std::variant<Shared...>);

// The kinds in their order: what is the channel's own, then answers and calls.
using ToSession =
    decltype(join(std::declval<std::variant<Welcome, Groups, SnapshotBegin, SnapshotAction,
                                            SnapshotEnd, Connections, Datagrams>>(),
                  std::declval<CallAnswer>()));
using ToGuard = decltype(join(std::declval<std::variant<Ready, Accepted, Closed, Replies>>(),
                              std::declval<Call>()));

// A packet that is longer than limits::packet_bytes is refused by whoever gets it: what is sent is
// to be bounded by base/limits.h.
Bytes encode(const Envelope<ToSession>& message);
Bytes encode(const Envelope<ToGuard>& message);

// The error names what was wrong with the packet; it contains no byte of it.
Result<Envelope<ToSession>> decode_to_session(std::span<const std::uint8_t> packet);
Result<Envelope<ToGuard>> decode_to_guard(std::span<const std::uint8_t> packet);

}  // namespace postern::channel
