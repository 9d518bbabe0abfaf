// The fixed limits, in one place. What the administrator may change is in
// daemon/guard/config/limits.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace postern::limits {

// ---- What a caller may send (protocol/, daemon/session/) ----

// One message, without its terminator.
inline constexpr std::size_t message_bytes = 64 * 1024;
inline constexpr std::size_t json_depth = 16;
// Members of one object, elements of one array.
inline constexpr std::size_t json_members = 256;
// Values in one message, containers included: bounds what 64 KiB of "[[],[],..." may cost us.
inline constexpr std::size_t json_values = 4096;
// One string or key, in bytes of UTF-8 after unescaping.
inline constexpr std::size_t json_string_bytes = 4 * 1024;
// What a call gives a program for its standard input, and a "multiline" argument.
inline constexpr std::size_t input_bytes = 32 * 1024;
inline constexpr std::size_t multiline_bytes = 32 * 1024;
// Integers beyond it are not the same number in every JSON library (RFC 8259, section 6).
inline constexpr std::int64_t json_integer = std::int64_t{1} << 53;
// Silence inside an unfinished message.
inline constexpr std::chrono::seconds mid_message_silence{10};
// Bytes that are held for a client that does not read. No call is begun while more than half of it
// waits, and no single reply is larger than the other half.
inline constexpr std::size_t client_backlog_bytes = 1024 * 1024;
// The same of all clients of one session; beyond, the one that holds most is dropped.
inline constexpr std::size_t session_backlog_bytes = 16 * 1024 * 1024;
// A client that reads nothing for so long, while something waits for it, is dropped.
inline constexpr std::chrono::seconds unread_patience{60};

// Memory of a session (RLIMIT_DATA), which ends where it would need more.
inline constexpr std::size_t session_data_bytes = 256 * 1024 * 1024;

// ---- Action files (daemon/policy/) ----

inline constexpr std::size_t action_file_bytes = 64 * 1024;
inline constexpr std::size_t action_name_bytes = 64;
inline constexpr std::size_t action_summary_bytes = 200;
inline constexpr std::size_t actions = 1024;

// ---- Between guard and session (daemon/channel/) ----

// One packet. Larger than message_bytes, since a message's values travel in it with their headers;
// smaller than the kernel's default socket buffer (net.core.wmem_default, 212992).
inline constexpr std::size_t packet_bytes = 128 * 1024;
// Connections handed over and not acknowledged: descriptors in flight are counted by the kernel
// against the guard's user (unix(7), ETOOMANYREFS), for all sessions together.
inline constexpr std::size_t unacknowledged_connections = 16;
// A session that is not ready, or does not acknowledge or read, for so long is ended.
inline constexpr std::chrono::seconds session_patience{10};
// Packets that wait for a session.
inline constexpr std::size_t session_queue_bytes = 4 * 1024 * 1024;
// Descriptors in them: two for each job that begins to be followed.
inline constexpr std::size_t session_queue_descriptors = 256;
// The reply that says "started", by which a client gets descriptors.
inline constexpr std::size_t started_reply_bytes = 1024;
// Jobs in one answer to List: what is said of each is short, so that all fit into one packet and
// into one reply. Where the client names no limit, so many:
inline constexpr std::uint32_t jobs_per_page = 200;
inline constexpr std::uint32_t jobs_listed = 100;
// Jobs that one connection may follow at a time. (Ours make one call at a time; what the guard
// holds for one is to be bounded all the same.)
inline constexpr std::size_t followed_by_connection = 4;

// ---- What jobs write ----

// How far a job may at least be ahead of the slowest of those who follow it, whatever is stored of
// its output.
inline constexpr std::size_t follower_window_bytes = 1024 * 1024;

// ---- Jobs that the guard starts itself (daemon/jobs/direct/) ----

// What a launcher is told of its job in its message; more is in a file. The message has to fit into
// a socket's default buffer with all that the kernel adds.
inline constexpr std::size_t launcher_order_bytes = 16 * 1024;
// Launchers that wait for a job, once there was one; and for so long after the last.
inline constexpr std::size_t launchers_waiting = 2;
inline constexpr std::chrono::seconds launcher_wait{60};

// ---- Spares (daemon/jobs/unit/spares.h) ----

// How long one waits that was made after a run; and one that is always to be there, before it is
// made anew. A job's time limit may end so much later where the guard is down meanwhile.
inline constexpr std::chrono::seconds spare_life{60};
inline constexpr std::chrono::minutes kept_spare_life{10};

// ---- Records of jobs (daemon/jobs/record/) ----

// A key is never forgotten before so long after the end of its job.
inline constexpr std::chrono::minutes key_memory{10};
// Records that are kept for their key alone, for each that is kept whole.
inline constexpr std::size_t keys_per_record = 16;
// Who has fewer of them always gets one more.
inline constexpr std::size_t keys_of_everybody = 16;
// That are in memory and not on the disk yet; beyond, nothing is started.
inline constexpr std::size_t uncopied_record_bytes = 16 * 1024 * 1024;

// ---- The audit ----

// Of an argument's text in the record of a start, in bytes of UTF-8, and of those of all arguments;
// what is longer is cut, and named by its length and SHA-256. Escaped, a byte takes up to six.
inline constexpr std::size_t audit_argument_bytes = 1024;
inline constexpr std::size_t audit_arguments_bytes = 16 * 1024;

// ---- The datagram socket ----

// One reply, with its terminator. A reply is one packet: within what every socket's send buffer
// takes, and what a client that has room for the longest message has room for.
inline constexpr std::size_t datagram_reply_bytes = message_bytes;
// Packets that a session has and has not answered, and their bytes; beyond, it gets none until half
// of them are answered.
inline constexpr std::size_t datagrams_in_session = 64;
inline constexpr std::size_t datagram_bytes_in_session = 1024 * 1024;
// Those of all sessions together.
inline constexpr std::size_t datagrams = 4096;
inline constexpr std::size_t datagram_bytes = 16 * 1024 * 1024;
// Packets that wait for one user's sessions, and their bytes; of all users as many as sessions
// have.
inline constexpr std::size_t datagrams_waiting_of_user = 256;
inline constexpr std::size_t datagram_bytes_waiting_of_user = 1024 * 1024;
// While packets wait, a session that has had one for so long is ended...
inline constexpr std::chrono::seconds datagram_patience{2};
// ... and packets of its user are refused for so long.
inline constexpr std::chrono::seconds datagram_penalty{30};
// Replies that wait for one sender's identity, and their bytes.
inline constexpr std::size_t datagram_replies = 256;
inline constexpr std::size_t datagram_replies_bytes = 1024 * 1024;

}  // namespace postern::limits
