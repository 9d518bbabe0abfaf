// The messages between guard and session: what may be said, and nothing else.
//
// One SOCK_SEQPACKET packet is one message:
//
//     byte 0     version of this protocol (channel::version)
//     byte 1     kind (Kind)
//     byte 2, 3  zero
//     byte 4-7   length of the body, little-endian
//     byte 8...  body: the fields of the struct in their order. Integers are little-endian and of
//                fixed size, a string or list is preceded by its 32-bit length, an optional field
//                by one byte that is 0 or 1.
//
// A packet is at most limits::packet_bytes long. Whatever does not decode to its last byte is no
// message: the receiver ends the channel. The guard trusts no field: ids are looked up among what
// it gave to this very session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "model/action.h"
#include "model/argument.h"
#include "model/job.h"

namespace postern::channel {

inline constexpr std::uint8_t version = 1;

// The descriptor that a session finds its channel on.
inline constexpr int session_fd = 3;

using Bytes = std::vector<std::uint8_t>;

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
};

// The next groups of the identity, ascending, at most `groups_per_message`.
inline constexpr std::size_t groups_per_message = 16384;
struct Groups {
    std::vector<std::uint32_t> groups;
};

// A new set of granted actions: Begin, `count` times Action, End. The old set is in force until
// End. Another Begin in between drops what has come of the set that it interrupts.
struct SnapshotBegin {
    std::uint32_t count = 0;
};
struct SnapshotAction {
    ActionDescription action;
};
struct SnapshotEnd {};

// A connection, with its descriptor. The session answers with Accepted.
struct Connection {
    std::uint64_t connection = 0;
    std::int32_t pid = 0;
    std::string unit;  // empty: not known
    // It came through the administrator's socket, and is the administrator's.
    bool administrator = false;
};

enum class Refusal : std::uint8_t {
    not_granted = 0,       // subject: the action
    invalid_argument = 1,  // subject: the argument
    limit_reached = 2,     // subject: the limit
    unavailable = 3,       // subject: empty
    start_failed = 4,      // subject: the job
    no_such_job = 5,       // subject: the job
    key_in_use = 6,        // subject: the key
    not_by_datagram = 7,   // subject: the action
};

// The answer to any call that ends it: it failed.
struct Refused {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    Refusal refusal = Refusal::unavailable;
    std::string subject;
    std::string message;
};

// The answer to Check: Run would start a job.
struct CheckPassed {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
};

// The answer to Describe where the action is granted after all (the set changed meanwhile).
struct Described {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    ActionDescription action;
};

// The answer to Run and Follow: the job runs, or has run. With two descriptors, read-only: its
// stdout and stderr files.
struct JobStarted {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string job;  // 32 hexadecimal digits
};

// There is output past the offsets of the last AwaitOutput. Sent once for each AwaitOutput.
struct JobOutput {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
};

// The job has ended and writes no more: what its files hold now is all. Ends the call.
struct JobEnded {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    JobResult result;
};

// The answer to LookUp.
struct JobFound {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    JobView job;
};

// ---- Packets of the datagram socket ----
//
// A packet is numbered like a connection, and the messages about its call name it as one. It has
// one call at most, and ends with the session's Reply.

// A packet, unopened. What is wrong with it as a packet, the guard has seen already.
struct Datagram {
    std::uint64_t connection = 0;
    std::int32_t pid = 0;
    std::string unit;          // empty: not known
    std::string payload;       // at most limits::message_bytes and a terminator
    bool too_long = false;     // ... and it was more than that: the payload is left out
    bool descriptors = false;  // some came along, and are closed
};

// The answer to Run: the job is recorded, and will be started.
struct Detached {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string job;
};

// ---- The administrator's: answers to Manage ----
//
// Any number of reports, then Managed. Only on a connection that is the administrator's.

struct StatusReport {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string guard_version;
    std::int32_t pid = 0;
    std::uint64_t started_usec = 0;  // wall clock
    std::string log_level;
    std::string supervision;  // "systemd", "cgroups", "process groups"
    std::uint32_t jobs = 0;
};
struct SocketReport {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string path;
    bool administrator = false;
    bool datagram = false;
};
// One identity that there is a session for.
struct CallerReport {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::string unit;  // empty: it makes no difference
    std::int32_t session_pid = 0;
    std::uint32_t connections = 0;
};
struct BadFileReport {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string action;  // empty where a whole folder is at fault
    std::string file;
    std::string message;
};
struct JobReport {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string job;
    std::string action;
    std::uint32_t uid = 0;  // the requester's
    std::int32_t pid = 0;
    std::string unit;  // of systemd's; empty: the guard started it itself
    std::uint64_t created_usec = 0;
};
struct Managed {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    bool done = false;
    std::string message;        // why not
    std::uint32_t actions = 0;  // in force
};

// ---- Session to guard ----

// The session has dropped everything and serves.
struct Ready {
    std::string session_version;
};

// The descriptor of this connection has arrived.
struct Accepted {
    std::uint64_t connection = 0;
};

// The client of this connection is gone, or was sent away. No message names it any more.
struct Closed {
    std::uint64_t connection = 0;
};

// `request` is the session's own number for the call; it comes back in every answer. It must not be
// one that is still under way on this connection.
struct Run {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string action;
    Arguments arguments;
    // The caller's own name for this call (is_job_key()), or empty. A call with a key that this
    // caller has used is answered with the job that it started then.
    std::string key;
};
// A job that this caller has started: followed from now on, as if it were Run; or only described.
struct Follow {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string job;
};
struct LookUp {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string job;
};
struct Check {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string action;
    Arguments arguments;
};
// Only for an action that is not in the session's set: the denial comes, like every denial, from
// the guard, which records it.
struct Describe {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::string action;
};

// All output up to these offsets has been read: say so when there is more, or when a file is now
// shorter than its offset since the job cut it back (at once, if it is so).
struct AwaitOutput {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    std::uint64_t stdout_offset = 0;
    std::uint64_t stderr_offset = 0;
};

enum class Management : std::uint8_t {
    status = 0,
    reload = 1,     // answered when what is then on disk is in force
    log_level = 2,  // `text`: which
    jobs = 3,       // those of all users that have not ended
};
struct Manage {
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    Management what = Management::status;
    std::string text;
};

// What a packet turned out to be, for the audit.
enum class PacketFault : std::uint8_t {
    none = 0,
    no_message = 1,     // not a message of the protocol
    not_available = 2,  // a method, or a way of calling it, that needs a connection
};

// The packet is dealt with. No message names it any more.
struct Reply {
    std::uint64_t connection = 0;
    PacketFault fault = PacketFault::none;
    std::string bytes;  // for its sender, at most limits::datagram_reply_bytes; empty: no reply
};

using ToSession =
    std::variant<Welcome, Groups, SnapshotBegin, SnapshotAction, SnapshotEnd, Connection, Refused,
                 CheckPassed, Described, JobStarted, JobOutput, JobEnded, JobFound, StatusReport,
                 SocketReport, CallerReport, BadFileReport, JobReport, Managed, Datagram, Detached>;
using ToGuard = std::variant<Ready, Accepted, Closed, Run, Follow, LookUp, Check, Describe,
                             AwaitOutput, Manage, Reply>;

// A packet that is longer than limits::packet_bytes is refused by whoever gets it: what is sent is
// to be bounded by base/limits.h.
Bytes encode(const ToSession& message);
Bytes encode(const ToGuard& message);

// The error names what was wrong with the packet; it contains no byte of it.
Result<ToSession> decode_to_session(std::span<const std::uint8_t> packet);
Result<ToGuard> decode_to_guard(std::span<const std::uint8_t> packet);

}  // namespace postern::channel
