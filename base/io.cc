#include "base/io.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/unique_fd.h"

namespace postern {

Result<std::string, int> read_file(const std::string& path, std::size_t limit) {
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW));
    if (!file) return Unexpected(errno);
    return read_all(file.get(), limit);
}

Result<std::string, int> read_kernel_file(const std::string& path) {
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW));
    if (!file) return Unexpected(errno);
    std::array<char, 4096> buffer;
    ssize_t got = 0;
    while ((got = read(file.get(), buffer.data(), buffer.size())) < 0) {
        if (errno != EINTR) return Unexpected(errno);
    }
    return std::string(buffer.data(), static_cast<std::size_t>(got));
}

Result<std::string, int> read_all(int fd, std::size_t limit) {
    std::string text;
    std::array<char, 4096> buffer{};
    while (true) {
        const ssize_t got = read(fd, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return Unexpected(errno);
        if (got == 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(got));
        if (text.size() > limit) return Unexpected(EFBIG);
    }
}

int write_file(const std::string& path, const std::string& text) {
    const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW));
    if (!file) return errno;
    while (true) {
        const ssize_t put = write(file.get(), text.data(), text.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno;
        return static_cast<std::size_t>(put) == text.size() ? 0 : EIO;
    }
}

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t put = ::write(fd, text.data(), text.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        text.remove_prefix(static_cast<std::size_t>(put));
    }
    return true;
}

}  // namespace postern
