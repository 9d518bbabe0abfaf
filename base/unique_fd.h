// UniqueFd: the one owner of one file descriptor.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace postern {

class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }

    // close() is not repeated after EINTR: on Linux the descriptor is gone all the same (close(2)).
    void reset(int fd = -1) {
        if (fd_ >= 0) ::close(fd_);
        fd_ = fd;
    }

  private:
    int fd_ = -1;
};

// Another descriptor of the same open file, close-on-exec and not below `lowest`: 3, past the
// standard streams. None: errno says why (F_DUPFD_CLOEXEC in fcntl(2)).
inline UniqueFd duplicate(int descriptor, int lowest = 3) {
    return UniqueFd(::fcntl(descriptor, F_DUPFD_CLOEXEC, lowest));
}

}  // namespace postern
