// Where the last lines of a job's output begin. They are looked for from the end of its files,
// block by block: a turn reads a bounded amount, however long the lines are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/unique_fd.h"
#include "daemon/session/output_file.h"

namespace postern::session {

class OutputTail {
  public:
    static constexpr std::size_t block_bytes = std::size_t{64} * 1024;

    // `lines`: of each stream, of what there is by now. What follows the last newline is a line
    // too.
    OutputTail(UniqueFd stdout_file, UniqueFd stderr_file, std::uint64_t lines)
        : streams_{Stream(std::move(stdout_file), lines), Stream(std::move(stderr_file), lines)} {}

    // Reads one block of each stream. Whether it is known where they begin.
    bool look();

    // From where on; 0 for a stream of which not so many lines are kept, so that what is missing
    // before them is not passed over.
    [[nodiscard]] std::array<std::uint64_t, 2> offsets() const {
        return {streams_[0].offset, streams_[1].offset};
    }
    std::array<UniqueFd, 2> take_files() {
        return {streams_[0].file.take_file(), streams_[1].file.take_file()};
    }

  private:
    struct Stream {
        Stream(UniqueFd of, std::uint64_t lines)
            : file(std::move(of)), end(file.size()), offset(end), left(lines), found(lines == 0) {}
        OutputFile file;
        std::uint64_t end;
        std::uint64_t offset;  // what is before it has not been looked at
        std::uint64_t left;    // lines that are not found
        bool found;
    };
    static void look(Stream& stream);

    std::array<Stream, 2> streams_;
};

}  // namespace postern::session
