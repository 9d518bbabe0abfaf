#include "daemon/session/job_output.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "protocol/base64.h"

namespace postern::session {

using nlohmann::json;

namespace {

void put_bytes(json& reply, const char* name, std::string bytes) {
    if (bytes.empty()) return;
    if (protocol::travels_as_text(bytes)) {
        reply[name] = std::move(bytes);
    } else {
        reply[std::string(name) + "Base64"] = protocol::encode_base64(bytes);
    }
}

void put_missed(json& reply, const char* name, std::uint64_t missed) {
    if (missed > 0) reply[std::string(name) + "Missed"] = missed;
}

// Bytes that nlohmann's dump() writes for one byte of text.
std::size_t json_bytes(char c) {
    if (c == '"' || c == '\\' || c == '\b' || c == '\f' || c == '\n' || c == '\r' || c == '\t') {
        return 2;
    }
    return static_cast<unsigned char>(c) < 0x20 ? 6 : 1;
}

}  // namespace

std::size_t json_prefix(const std::string& text, std::size_t maximum) {
    std::size_t used = 0;
    std::size_t end = 0;
    while (end < text.size() && used + json_bytes(text[end]) <= maximum) {
        used += json_bytes(text[end++]);
    }
    if (end < text.size()) {
        end -= incomplete_utf8_tail(std::string_view(text).substr(0, end));
    }
    return end;
}

JobStream::JobStream(UniqueFd stdout_file, UniqueFd stderr_file,
                     std::array<std::uint64_t, 2> offsets)
    : stdout_(std::move(stdout_file), offsets[0]), stderr_(std::move(stderr_file), offsets[1]) {}

bool JobStream::read(Stream& stream, bool last, std::size_t maximum, Part& part) {
    OutputFile::Piece piece;
    if (stream.later) {
        piece = std::move(*stream.later);
        stream.later.reset();
    } else {
        piece = stream.output.read(maximum);
    }
    const bool ended = piece.empty() && last;
    if (piece.empty() && !ended) return false;
    if ((ended || piece.missed > 0) && !stream.held.empty()) {
        // The rest of that character will never come; if it is a gap that it stood before, that
        // comes next.
        stream.given += stream.held.size();
        part.bytes = std::exchange(stream.held, {});
        if (!ended) stream.later = std::move(piece);
        return true;
    }
    if (ended) return false;
    part.missed = piece.missed;
    part.bytes = std::move(piece.bytes);
    if (!stream.held.empty()) part.bytes.insert(0, std::exchange(stream.held, {}));
    const std::size_t whole = part.bytes.size() - incomplete_utf8_tail(part.bytes);
    stream.held = part.bytes.substr(whole);
    part.bytes.resize(whole);
    stream.given = stream.output.offset() - stream.held.size();
    return true;
}

std::optional<JobStream::Chunk> JobStream::next(bool last, std::size_t maximum) {
    for (;;) {
        Chunk chunk;
        const bool more_stdout = read(stdout_, last, maximum, chunk[0]);
        const bool more_stderr = read(stderr_, last, maximum, chunk[1]);
        if (chunk != Chunk{}) return chunk;
        // Otherwise only the beginning of a character was read: its rest may be there already.
        if (!more_stdout && !more_stderr) return std::nullopt;
    }
}

std::array<std::uint64_t, 2> JobStream::read_to() const {
    return {stdout_.output.offset(), stderr_.output.offset()};
}

void JobStream::stop_here() {
    stdout_.output.stop_here();
    stderr_.output.stop_here();
}

std::array<std::uint64_t, 2> JobStream::given() const {
    return {stdout_.given, stderr_.given};
}

std::array<std::optional<std::uint64_t>, 2> JobStream::beyond_end() const {
    return {stdout_.output.beyond_end(), stderr_.output.beyond_end()};
}

JobSummary::JobSummary(UniqueFd stdout_file, UniqueFd stderr_file,
                       std::array<std::uint64_t, 2> offsets, std::uint64_t maximum)
    : maximum_(static_cast<std::size_t>(
          std::min<std::uint64_t>(maximum, reply_output_json_bytes / 4 * 3))),
      stdout_(std::move(stdout_file), offsets[0]),
      stderr_(std::move(stderr_file), offsets[1]) {}

void JobSummary::read() {
    read(stdout_);
    read(stderr_);
}

void JobSummary::read(Stream& stream) const {
    while (!stream.full) {
        // One byte more than is wanted is not asked for: how much is left out, the size says.
        const std::size_t room = maximum_ - stream.bytes.size();
        if (room == 0) {
            stream.full = true;
            return;
        }
        OutputFile::Piece piece = stream.output.read(std::min(room, chunk_bytes));
        if (piece.empty()) return;
        if (piece.missed > 0) {
            // What comes after a gap does not continue what came before it.
            stream.full = true;
            return;
        }
        stream.bytes += piece.bytes;
    }
}

void JobSummary::finish(Stream& stream, const char* name, json& reply) {
    const std::uint64_t size = stream.output.size();
    std::string& bytes = stream.bytes;
    if (stream.begin + bytes.size() < size)
        bytes.resize(bytes.size() - incomplete_utf8_tail(bytes));
    if (protocol::travels_as_text(bytes)) {
        bytes.resize(json_prefix(bytes, reply_output_json_bytes));
    }
    const std::uint64_t end = stream.begin + bytes.size();
    put_missed(reply, name, size > end ? size - end : 0);
    put_bytes(reply, name, std::move(bytes));
}

void JobSummary::stop_here() {
    stdout_.output.stop_here();
    stderr_.output.stop_here();
}

json JobSummary::finish() {
    read();
    json reply = json::object();
    finish(stdout_, "stdout", reply);
    finish(stderr_, "stderr", reply);
    return reply;
}

std::array<std::uint64_t, 2> JobSummary::read_to() const {
    const auto offset = [](const Stream& stream) {
        return stream.full ? not_awaited : stream.output.offset();
    };
    return {offset(stdout_), offset(stderr_)};
}

std::array<std::uint64_t, 2> JobSummary::given() const {
    const auto offset = [](const Stream& stream) {
        return stream.full ? not_awaited : std::min(stream.begin, stream.output.size());
    };
    return {offset(stdout_), offset(stderr_)};
}

std::array<std::optional<std::uint64_t>, 2> JobSummary::beyond_end() const {
    return {stdout_.output.beyond_end(), stderr_.output.beyond_end()};
}

}  // namespace postern::session
