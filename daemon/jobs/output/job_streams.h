// The streams of a job, standard output and standard error: a pipe that the job writes into, and
// the file that postern-output moves what is in there to.
//
// The guard holds the read end as long as the job runs, so that the keeper gets it back when that
// has died, and so that it can see whether all was moved. It never reads from it. Where standard
// output goes straight to a client, that has the read end and nobody else; the file stays empty.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/jobs/output/keeper_link.h"

namespace postern::jobs {

inline constexpr std::size_t stream_count = 2;
inline constexpr std::array<const char*, stream_count> stream_names = {"stdout", "stderr"};

struct JobStream {
    // Of the pipe. The job's end is let go when its program runs.
    UniqueFd read_end;
    UniqueFd write_end;
    // For writing, not O_APPEND: splice(2) refuses that.
    UniqueFd file;

    // Bytes that the file has: what was freed of its front is a hole in it.
    [[nodiscard]] std::uint64_t size() const;
    // What it takes on the disk.
    [[nodiscard]] std::uint64_t stored() const;
    // Nothing is left in the pipe, and what was there is in the file: splice(2) takes bytes out of
    // the pipe after they are written. By poll(2), since FIONREAD takes the pipe's lock, which is
    // held for as long as that write takes.
    [[nodiscard]] bool is_drained() const;
    // A descriptor of its own for the file, from the start, read-only.
    [[nodiscard]] Result<UniqueFd> open_reader() const;
};

struct JobStreams {
    std::array<JobStream, stream_count> streams;

    // Makes the files in a job's folder, which is empty, 0600, and takes pipes. `one_pipe`: both
    // streams are one, each with an open file description of its own, so that O_NONBLOCK on one
    // does not reach the other. `stored`: without it, files have no name. Error: why not.
    static Result<JobStreams> create(int folder, KeeperLink& keeper, bool one_pipe, bool stored);
    // The files of a job that was started before, those that have a name. Error: why not.
    static Result<JobStreams> open(int folder);
    // For a job that is over and whose files have no name: files of these sizes that are nothing
    // but a hole, so that whoever comes later hears how much he misses.
    static Status leave_sizes(int folder, const std::array<std::uint64_t, stream_count>& sizes);
    // The files of any job, for reading.
    static Result<std::array<UniqueFd, stream_count>> open_readers(int folder);
};

}  // namespace postern::jobs
