// What a job has written, made into replies of Run: as a stream of chunks, or at once at the end.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/limits.h"
#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/session/output_file.h"
#include "model/job.h"
#include "protocol/output_reply.h"

namespace postern::session {

// Bytes of each stream in one chunk. In the reply they are twice as long at most; what both streams
// have in one then fits into half of a client's backlog.
inline constexpr std::size_t chunk_bytes = std::size_t{64} * 1024;
// The same for a client of a session that holds much for all its clients.
inline constexpr std::size_t small_chunk_bytes = std::size_t{4} * 1024;
static_assert(2 * protocol::most_per_byte * chunk_bytes + 4096 <= limits::client_backlog_bytes / 2);

// Bytes of each stream in a reply without "more", whatever the administrator set: the reply has to
// fit into half of a client's backlog, as JSON. Longer ones are cut, as the interface says.
inline constexpr std::size_t reply_output_json_bytes = limits::client_backlog_bytes / 4 - 4096;

// A Run with "more".
class JobStream {
  public:
    // `offsets`: where in each stream to begin.
    JobStream(UniqueFd stdout_file, UniqueFd stderr_file, std::array<std::uint64_t, 2> offsets);

    // Of one stream: what is missing before the bytes, and the bytes.
    struct Part {
        std::uint64_t missed = 0;
        std::string bytes;
        friend bool operator==(const Part&, const Part&) = default;
    };
    using Chunk = std::array<Part, 2>;
    // What comes next of stdout and stderr, which never ends inside a character that is whole in
    // the stream; nothing: all that is there has been read. `last`: the job has ended, so what is
    // held back (an unfinished character) comes too. `maximum`: bytes of each stream.
    std::optional<Chunk> next(bool last, std::size_t maximum = chunk_bytes);

    [[nodiscard]] std::array<std::uint64_t, 2> read_to() const;
    // What is there by now is all.
    void stop_here();
    // Up to where each stream has come in replies; no more than there is of it.
    [[nodiscard]] std::array<std::uint64_t, 2> given() const;
    // Where a stream ends, if it was to begin past that.
    [[nodiscard]] std::array<std::optional<std::uint64_t>, 2> beyond_end() const;

  private:
    struct Stream {
        Stream(UniqueFd file, std::uint64_t offset)
            : output(std::move(file), offset), given(std::min(offset, output.size())) {}
        OutputFile output;
        // The beginning of a character whose rest has not come.
        std::string held;
        // What was read after `held` and does not continue it.
        std::optional<OutputFile::Piece> later;
        std::uint64_t given;
    };
    // What this stream has next; false: nothing new was read.
    static bool read(Stream& stream, bool last, std::size_t maximum, Part& part);

    Stream stdout_;
    Stream stderr_;
};

// A Run without "more": the first bytes of each stream, from an offset on.
class JobSummary {
  public:
    JobSummary(UniqueFd stdout_file, UniqueFd stderr_file, std::array<std::uint64_t, 2> offsets,
               std::uint64_t maximum);

    // Reads what is there, as far as it is wanted.
    void read();

    // What is there by now is all.
    void stop_here();

    // Fields of the only reply, without `job` and `result`; call it when the job has ended.
    nlohmann::json finish();

    // not_awaited for a stream of which enough is read.
    [[nodiscard]] std::array<std::uint64_t, 2> read_to() const;
    // Nothing is given before the end; not_awaited for a stream of which enough is read.
    [[nodiscard]] std::array<std::uint64_t, 2> given() const;
    [[nodiscard]] std::array<std::optional<std::uint64_t>, 2> beyond_end() const;
    // Nothing more is wanted.
    [[nodiscard]] bool full() const { return stdout_.full && stderr_.full; }

  private:
    struct Stream {
        Stream(UniqueFd file, std::uint64_t offset)
            : output(std::move(file), offset), begin(offset) {}
        OutputFile output;
        std::uint64_t begin;
        std::string bytes;
        bool full = false;
    };
    void read(Stream& stream) const;
    static void finish(Stream& stream, const char* name, nlohmann::json& reply);

    std::size_t maximum_;
    Stream stdout_;
    Stream stderr_;
};

// The longest prefix of valid UTF-8 text that takes at most `maximum` bytes as a JSON string. For
// tests.
std::size_t json_prefix(const std::string& text, std::size_t maximum);

}  // namespace postern::session
