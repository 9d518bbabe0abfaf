#include "daemon/session/output_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace postern::session {

std::uint64_t OutputFile::size() const {
    // Not fstat(2): the C library turns it into a call that also takes paths, which the session's
    // system call list does not have.
    const off_t end = ::lseek(file_.get(), 0, SEEK_END);
    return end < 0 ? offset_ : std::min(static_cast<std::uint64_t>(end), end_);
}

std::optional<std::uint64_t> OutputFile::beyond_end() const {
    const std::uint64_t end = size();
    return offset_ > end ? std::optional(end) : std::nullopt;
}

std::uint64_t OutputFile::begin() const {
    off_t data = ::lseek(file_.get(), 0, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
        // Nothing but a hole up to the end. Up to which end: what was appended since must not
        // count.
        const std::uint64_t end = size();
        data = ::lseek(file_.get(), 0, SEEK_DATA);
        if (data < 0) return end;
    }
    // Any other error: the file system does not tell, so all of it is data.
    return data < 0 ? 0 : static_cast<std::uint64_t>(data);
}

std::string OutputFile::before(std::uint64_t offset, std::size_t maximum) const {
    const std::uint64_t from = std::max(begin(), offset - std::min<std::uint64_t>(offset, maximum));
    std::string bytes;
    while (from + bytes.size() < offset) {
        const std::size_t had = bytes.size();
        const auto left = static_cast<std::size_t>(offset - from) - had;
        bytes.resize(had + left);
        const ssize_t count =
            ::pread(file_.get(), bytes.data() + had, left, static_cast<off_t>(from + had));
        bytes.resize(had + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return {};
    }
    return bytes;
}

OutputFile::Piece OutputFile::read(std::size_t maximum) {
    Piece piece;
    if (offset_ >= end_) return piece;
    maximum = static_cast<std::size_t>(std::min<std::uint64_t>(maximum, end_ - offset_));
    piece.bytes.resize(maximum);
    ssize_t count = 0;
    do {
        count = ::pread(file_.get(), piece.bytes.data(), maximum, static_cast<off_t>(offset_));
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        // What can't be read is missed; to ask again would be to ask for ever.
        piece.bytes.clear();
        const std::uint64_t end = size();
        if (end > offset_) piece.missed = end - offset_;
        offset_ = std::max(offset_, end);
        return piece;
    }
    piece.bytes.resize(static_cast<std::size_t>(count));
    if (count == 0) return piece;
    // Only now, after the bytes were read: a hole that was punched before or meanwhile is seen, and
    // what is still data now was data when it was read.
    const std::uint64_t kept_from = std::max(begin(), offset_);
    const auto length = static_cast<std::uint64_t>(count);
    piece.missed = kept_from - offset_;
    if (piece.missed >= length) {
        piece.bytes.clear();
        offset_ = kept_from;
    } else {
        piece.bytes.erase(0, static_cast<std::size_t>(piece.missed));
        offset_ += length;
    }
    return piece;
}

}  // namespace postern::session
