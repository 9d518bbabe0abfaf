#include "daemon/output/keeper/kept_stream.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "daemon/output/stored_file.h"

namespace postern::output {
namespace {

std::uint64_t bytes_in(int pipe) {
    int bytes = 0;
    if (::ioctl(pipe, FIONREAD, &bytes) != 0 || bytes < 0) return 0;
    return static_cast<std::uint64_t>(bytes);
}

// Whether it is an end of a pipe that was opened so.
bool is_end(int pipe, int access) {
    const int flags = ::fcntl(pipe, F_GETFL);
    struct stat status{};
    return flags >= 0 && (flags & (O_ACCMODE | O_PATH)) == access && ::fstat(pipe, &status) == 0 &&
           S_ISFIFO(status.st_mode);
}

constexpr unsigned splice_flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

}  // namespace

bool KeptStream::is_read_end(int pipe) {
    return is_end(pipe, O_RDONLY);
}

bool KeptStream::is_write_end(int pipe) {
    return is_end(pipe, O_WRONLY);
}

bool KeptStream::take_file(UniqueFd file) {
    const int flags = ::fcntl(file.get(), F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || (flags & (O_APPEND | O_PATH)) != 0 ||
        ::lseek(file.get(), 0, SEEK_END) < 0) {
        return false;
    }
    file_ = std::move(file);
    measure();
    return true;
}

void KeptStream::measure() {
    size_ = size_of(file_.get());
    if (size_ == 0) {
        // Most are: nothing of it need be asked.
        front_ = 0;
        in_hole_ = false;
        return;
    }
    front_ = stored_from(file_.get());
    in_hole_ = front_ == size_ && size_ % block_bytes_of(file_.get()) != 0;
}

std::uint64_t KeptStream::up_to_block() const {
    const std::uint64_t block = block_bytes_of(file_.get());
    return block - size_ % block;
}

std::uint64_t KeptStream::allowed(std::size_t most, std::uint64_t window) const {
    if (left_) return std::min<std::uint64_t>(most, *left_);
    if (demand.floor == none) return most;
    const std::uint64_t keep = std::max(demand.stored, window);
    const std::uint64_t end = demand.floor > none - keep ? none : demand.floor + keep;
    return size_ >= end ? 0 : std::min<std::uint64_t>(most, end - size_);
}

KeptStream::Step KeptStream::step(std::size_t most, std::uint64_t window, Relief relief, int null) {
    if (!file_) return {State::held, 0};
    if (!std::exchange(alone_, true)) {
        (void)bytes_in(pipe_.get());
        measure();
    }
    if (finishes_ && !left_) left_ = bytes_in(pipe_.get());
    if (left_ == 0) return end();
    const std::uint64_t bytes = allowed(most, window);
    if (bytes == 0) return {State::held, 0};
    if (in_hole_) return drop(std::min(bytes, up_to_block()), Relief::drop, null);
    auto offset = static_cast<off_t>(size_);
    const ssize_t moved = ::splice(pipe_.get(), nullptr, file_.get(), &offset, bytes, splice_flags);
    if (moved > 0) {
        advance(static_cast<std::uint64_t>(moved));
        const std::uint64_t keep = std::max(demand.stored, window);
        return {State::moved, trim(keep, keep / 8)};
    }
    if (moved == 0 || errno == EAGAIN) return out_of_bytes();
    if (errno == EINTR) return {State::moved, 0};
    return relieve(bytes, errno, relief, null);
}

// No byte is there: whatever was counted, somebody else has taken it.
KeptStream::Step KeptStream::out_of_bytes() {
    if (!left_) return {State::empty, 0};
    left_ = 0;
    return end();
}

// The window was for those who may have come to follow it.
KeptStream::Step KeptStream::end() {
    return {State::ended, trim(demand.stored, 0)};
}

void KeptStream::advance(std::uint64_t bytes) {
    size_ += bytes;
    if (left_) *left_ -= std::min(bytes, *left_);
}

KeptStream::Step KeptStream::relieve(std::uint64_t most, int error, Relief relief, int null) {
    if (relief == Relief::wait || demand.floor != none) return {State::failed, error};
    if (free_some()) return {State::relieved, 0};
    const Step dropped = drop(most, relief, null);
    return dropped.state == State::failed ? Step{State::failed, error} : dropped;
}

bool KeptStream::free_until(std::uint64_t until) {
    until -= until % block_bytes_of(file_.get());
    if (until <= front_ || free_front(file_.get(), until) != 0) return false;
    front_ = until;
    return true;
}

// Half of what is stored, or what there is of whole blocks.
bool KeptStream::free_some() {
    return free_until(front_ + (size_ - front_) / 2) || free_until(size_);
}

// Bytes go to nobody, and are counted. What is dropped has to be whole blocks: those alone can be a
// hole, by which readers see that something is missing. So the last block is dropped as a whole,
// with what is stored of it, and from then on all up to the end of a block; where less than that is
// in the pipe, it waits there for more, unless it waited for long.
KeptStream::Step KeptStream::drop(std::uint64_t most, Relief relief, int null) {
    const std::uint64_t there = bytes_in(pipe_.get());
    std::uint64_t bytes = std::min(there, most);
    if (bytes == 0) return out_of_bytes();
    const std::uint64_t rest = up_to_block();
    if (bytes >= rest) {
        bytes -= (bytes - rest) % block_bytes_of(file_.get());
    } else if (relief != Relief::drop && !left_) {
        return {State::failed, ENOSPC};
    }
    if (!in_hole_) {
        // All before has to be a hole, the block that begins here too: where the file system has
        // none, nothing is dropped.
        const int error = free_front(file_.get(), size_ + rest);
        if (error != 0) return {State::failed, error};
        mark_hole();
    }
    const ssize_t dropped = ::splice(pipe_.get(), nullptr, null, nullptr, bytes, splice_flags);
    if (dropped < 0 && errno == EINTR) return {State::relieved, 0};
    if (dropped <= 0) return out_of_bytes();
    advance(static_cast<std::uint64_t>(dropped));
    mark_hole();
    // It takes no space. Where it fails all the same, the next one counts these as well.
    const bool counted = ::ftruncate(file_.get(), static_cast<off_t>(size_)) == 0;
    return {State::relieved, counted ? 0 : errno};
}

// Nothing is stored: the last block, where it has begun, is part of the hole up to its end.
void KeptStream::mark_hole() {
    front_ = size_;
    in_hole_ = size_ % block_bytes_of(file_.get()) != 0;
}

int KeptStream::trim(std::uint64_t keep, std::uint64_t spare) {
    if (size_ <= keep) return 0;
    std::uint64_t until = std::min(size_ - keep, demand.floor);
    if (until <= front_ + spare) return 0;
    until -= until % block_bytes_of(file_.get());
    if (until <= front_) return 0;
    const int error = free_front(file_.get(), until);
    if (error == 0) {
        front_ = until;
        front_error_ = 0;
        return 0;
    }
    // Tried again with every piece, and said once.
    return front_error_ == error ? 0 : front_error_ = error;
}

}  // namespace postern::output
