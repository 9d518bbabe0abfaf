// What the guard and postern-output, the keeper of what jobs write, say to each other.
//
// Both hold the read end and the file of each stream of each job that has not ended. Either may die
// at any moment, and gets all of them back from the other. One packet (daemon/channel/transport.h)
// is one message, of fixed length.
//
//     guard                                   keeper
//       | -- hello ------------------------->  |   on each connection, first
//       | <------- kept ..., all_kept -------  |   what the keeper has
//       | -- keep, or forget --------------->  |   what it lacks, or is no longer to have
//       | -- want_pipes, want_inputs ------->  |
//       | <------------------ pipe, input ...  |
//       | -- keep -------------------------->  |   before a job is started
//       | -- watch ------------------------->  |   whenever what followers have or want changes
//       | <------------------------ grown ---  |
//       | <---------------------- trouble ---  |
//       | -- room -------------------------->  |
//       | -- finish ------------------------>  |   nothing of the job runs any more
//       | <--------------------- finished ---  |
//
// A keeper serves one guard, and refuses others as long as that one's connection lives. While it
// keeps jobs of a guard that has left, it refuses, for a minute, guards with another directory of
// jobs.
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
    want_pipes,  // count: this many more
    // job, stream, owner, stored, floor, awaited, followers; descriptors: read end, file, and, if
    // the guard has it, write end. (The keeper does not write to it: see JobStream::write_end in
    // daemon/jobs/output/job_streams.h.) Of a stream that is kept already, what it lacks is taken
    // and the rest closed.
    keep,
    watch,        // job, stream, stored, floor, awaited, followers
    room,         // count: 0 if nothing could be freed for the streams that are in trouble
    finish,       // job: takes what is in its pipes now, then lets them go; always answered
    forget,       // job: lets it go at once, with what is known of its end
    want_inputs,  // count: this many more
    // Keeper to guard.
    // job, stream, floor, followers, stall: what is left of it; descriptors: read end, then file
    // and
    // write end if it has them (a stream from the service manager's store has neither).
    kept = 64,
    all_kept,
    // For a job to write into. descriptors: read end, write end; mode 0622. Or none, and error: no
    // pipe can be made, and no more come of those that were wanted.
    pipe,
    grown,    // job, stream, sizes
    trouble,  // job, stream, error, sizes: a write failed, or the front could not be freed
    // job, sizes (0 for a stream that was not kept): it is no longer kept. Said to each guard,
    // before
    // all_kept, until one says forget.
    finished,
    input,  // as pipe, for a job to read from: mode 0644
    // Another guard has precedence. count: the process of the one that is served; 0: the one whose
    // jobs are kept has only just left. The connection is closed.
    refused,
};

inline constexpr std::uint8_t version = 1;
inline constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();
inline constexpr std::size_t streams = 2;  // standard output, standard error

// Fields that a kind does not use are 0, and are not read.
struct Message {
    Kind kind = Kind::hello;
    std::uint8_t stream = 0;  // 0 standard output, 1 standard error
    JobId job;
    std::uint32_t count = 0;
    std::uint32_t followers = 0;  // whose least offset `floor` is
    std::uint32_t error = 0;      // errno
    std::uint64_t window = 0;     // bytes that a follower may at least be behind
    std::uint64_t stall = 0;      // microseconds
    // Of a guard: whose jobs they are, a different one for each directory of jobs. Of a stream: the
    // streams of one owner hold up each other at most.
    std::uint64_t owner = 0;
    std::uint64_t stored = 0;   // bytes to keep: the newest
    std::uint64_t floor = 0;    // the least offset up to which a follower has it; none
    std::uint64_t awaited = 0;  // say when the stream is longer than this; none
    // Of the streams; in a message about one of them only that one's.
    std::array<std::uint64_t, streams> sizes{};

    friend bool operator==(const Message&, const Message&) = default;
};

inline constexpr std::size_t packet_bytes = 112;
using Packet = std::array<std::uint8_t, packet_bytes>;

Packet encode(const Message& message);
// Nothing: not exactly right (length, version, kind, stream, job id).
std::optional<Message> decode(std::span<const std::uint8_t> packet);

}  // namespace postern::output
