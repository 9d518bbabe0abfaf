// One stream of a job's output, read from its file while that still changes.
//
// The file grows at its end, and only there: the offset of a byte in it is its offset in the
// stream. If it grows too long, its oldest bytes are freed (fallocate(2), FALLOC_FL_PUNCH_HOLE) and
// would read as zeros that the job never wrote; a reader is told that they are missing. Only a hole
// before all data means that. Elsewhere a hole is zeros that the job did write, on file systems
// that store none (ZFS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/unique_fd.h"
#include "model/job.h"

namespace postern::session {

class OutputFile {
  public:
    // `file`: read-only, of a regular file. Its own position is not kept: lseek(2) is used to ask.
    // `offset`: where to begin. Past the end: nothing comes until the file has grown so far.
    explicit OutputFile(UniqueFd file, std::uint64_t offset = 0)
        : file_(std::move(file)), offset_(offset) {}

    struct Piece {
        // Bytes that were no longer to be had before those of this piece.
        std::uint64_t missed = 0;
        std::string bytes;

        [[nodiscard]] bool empty() const { return missed == 0 && bytes.empty(); }
    };

    // What comes next, at most `maximum` bytes. Empty: there is no more at present.
    Piece read(std::size_t maximum);
    // From now on what is in it by now is all, however it grows.
    void stop_here() { end_ = size(); }
    // What is kept before this offset, at most `maximum` bytes. Empty: nothing is, or it can't be
    // read.
    [[nodiscard]] std::string before(std::uint64_t offset, std::size_t maximum) const;

    // Up to where the file was read.
    [[nodiscard]] std::uint64_t offset() const { return offset_; }

    // As it is now.
    [[nodiscard]] std::uint64_t size() const;
    UniqueFd take_file() { return std::move(file_); }

    // The size, where it was told to begin past that.
    [[nodiscard]] std::optional<std::uint64_t> beyond_end() const;

  private:
    // The first byte that is kept; the size where none is.
    [[nodiscard]] std::uint64_t begin() const;

    UniqueFd file_;
    std::uint64_t offset_;
    std::uint64_t end_ = not_awaited;  // nothing past it is read
};

}  // namespace postern::session
