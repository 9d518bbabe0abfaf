// What the guard and postern-output, the keeper of what jobs write, say to each other.
//
// Both hold the read end and the file of each stream of each job that has not ended. Either may die
// at any moment and gets all of them back from the other. One packet (daemon/channel/transport.h)
// is one message, of fixed length.
//
//     guard                                   keeper
//       | -- hello ------------------------->  |   on each connection, first
//       | <------------------- kept ..., all_kept   what it has
//       | -- keep, or forget --------------->  |   what it has not, or is to have no more
//       | -- want_pipes, want_inputs ------->  |
//       | <------------------ pipe, input ...  |
//       | -- keep --------------------------> |   before a job is started
//       | -- watch -------------------------> |   whenever what followers have or want changes
//       | <------------------------ grown ---  |
//       | <---------------------- trouble ---  |
//       | -- room -------------------------->  |
//       | -- finish ------------------------>  |   nothing of the job runs any more
//       | <--------------------- finished ---  |
//
// A keeper serves one guard, and refuses others for as long as that one's connection lives; and one
// with other jobs until those whose guard has left have waited for it for a while.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "model/job.h"

namespace postern::output {

enum class Kind : std::uint8_t {
    // Guard to keeper. A job that is not kept is ignored.
    hello = 1,   // window, stall, owner
    want_pipes,  // count: so many more
    // job, stream, owner, stored, floor, awaited, followers; descriptors: read end, file, and write
    // end where the guard has it (a keeper writes nothing: whoever has it closes it last, see
    // daemon/jobs/output/ends.h). Of a stream that is kept already, what it lacks is taken and the
    // rest let go.
    keep,
    watch,        // job, stream, stored, floor, awaited, followers
    room,         // count: 0 where nothing could be freed for the streams that are in trouble
    finish,       // job: what is in its pipes now is taken, and they are let go; always answered
    forget,       // job: is let go at once, and what is known of its end
    want_inputs,  // count: so many more
    // Keeper to guard.
    // job, stream, floor, followers, stall: what is left of it; descriptors: read end, and file and
    // write end where it has them, in this order (a stream that came out of the service manager's
    // store has neither).
    kept = 64,
    all_kept,
    // For a job to write into. descriptors: read end, write end; mode 0622. Or none, and error:
    // there is no pipe to be had, and of those that were wanted no more come.
    pipe,
    grown,    // job, stream, sizes
    trouble,  // job, stream, error, sizes: a write failed, or the front could not be freed
    // job, sizes (0 of what was not kept); it is not kept any more. Said to each guard, before
    // all_kept, until one says forget.
    finished,
    input,  // as pipe, for a job to read from: mode 0644
    // Another guard comes first. count: the process of the one that is served; 0: whose jobs are
    // kept has only just left. The connection is ended.
    refused,
};

inline constexpr std::uint8_t version = 1;
inline constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();
inline constexpr std::size_t streams = 2;  // standard output, standard error

// What a kind does not use is 0, and is not read.
struct Message {
    Kind kind = Kind::hello;
    std::uint8_t stream = 0;  // 0 standard output, 1 standard error
    JobId job;
    std::uint32_t count = 0;
    std::uint32_t followers = 0;  // those whose offsets `floor` is the least of
    std::uint32_t error = 0;      // errno
    std::uint64_t window = 0;     // bytes that a follower may be behind, at least
    std::uint64_t stall = 0;      // microseconds
    // Of a guard: whose jobs they are, another for each folder of jobs. Of a stream: those of one
    // owner share what they may hold up.
    std::uint64_t owner = 0;
    std::uint64_t stored = 0;   // bytes to keep: the newest
    std::uint64_t floor = 0;    // the least offset that a follower has read to; none
    std::uint64_t awaited = 0;  // to be told once the stream is longer than this; none
    // Of the streams; of a message about one of them that one's alone.
    std::array<std::uint64_t, streams> sizes{};

    friend bool operator==(const Message&, const Message&) = default;
};

inline constexpr std::size_t packet_bytes = 112;
using Packet = std::array<std::uint8_t, packet_bytes>;

Packet encode(const Message& message);
// Nothing: not exactly right (length, version, kind, stream, job id).
std::optional<Message> decode(std::span<const std::uint8_t> packet);

}  // namespace postern::output
