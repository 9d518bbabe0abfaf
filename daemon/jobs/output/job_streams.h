// The streams of a job, standard output and standard error: a pipe that the job writes into, and
// the file that postern-output, the keeper, moves its content to.
//
// The guard holds the read end as long as the job runs: so a keeper that has died gets it back, and
// the guard can see whether everything was moved. It never reads from it. If standard output goes
// straight to a client, only the client has the read end, and the file stays empty.
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
    // Of the pipe. The write end, which the job has, is kept here too: whoever closes the last
    // reference may have to wait for a process that writes into the pipe at that moment. That must
    // be neither the guard nor PID 1, which has the write end as long as the job's unit exists (see
    // JobTable::let_go()).
    UniqueFd read_end;
    UniqueFd write_end;
    // For writing, without O_APPEND, which splice(2) refuses.
    UniqueFd file;

    // The file's size in bytes, the hole at its front included.
    [[nodiscard]] std::uint64_t size() const;
    // Bytes that it takes on the disk.
    [[nodiscard]] std::uint64_t stored() const;
    // Frees what is before the newest `keep` bytes, if the file system can.
    void trim(std::uint64_t keep) const;
    // Nothing is left in the pipe, and so all of it is in the file: splice(2) takes bytes out of
    // the pipe only after they are written. By poll(2), because FIONREAD takes the pipe's lock,
    // which is held as long as that write takes.
    [[nodiscard]] bool is_drained() const;
    // A descriptor of its own for the file, from the start, read-only.
    [[nodiscard]] Result<UniqueFd> open_reader() const;
};

struct JobStreams {
    std::array<JobStream, stream_count> streams;

    // Makes the files (0600) in a job's empty directory, and takes pipes from the stock.
    // `one_pipe`: both streams share one pipe, each with an open file description of its own, so
    // that O_NONBLOCK on one does not affect the other. Error: why not.
    static Result<JobStreams> create(int folder, KeeperLink& keeper, bool one_pipe);
    // The files of a job that an earlier guard started, except any that were removed. Error: why
    // not.
    static Result<JobStreams> open(int folder);
    // All files, for reading.
    static Result<std::array<UniqueFd, stream_count>> open_readers(int folder);
};

}  // namespace postern::jobs
