#include "daemon/output/stored_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

namespace postern::output {

std::uint64_t block_bytes_for(std::uint64_t preferred) {
    return std::bit_ceil(std::clamp(preferred, least_block_bytes, most_block_bytes));
}

std::uint64_t block_bytes_of(int file) {
    struct stat status{};
    if (::fstat(file, &status) != 0) return least_block_bytes;
    return block_bytes_for(static_cast<std::uint64_t>(std::max<blksize_t>(status.st_blksize, 0)));
}

int free_front(int file, std::uint64_t until) {
    const std::uint64_t end = until - until % block_bytes_of(file);
    if (end == 0) return 0;
    while (::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                       static_cast<off_t>(end)) != 0) {
        if (errno != EINTR) return errno;
    }
    return 0;
}

std::uint64_t stored_from(int file) {
    const off_t data = ::lseek(file, 0, SEEK_DATA);
    if (data >= 0) return static_cast<std::uint64_t>(data);
    return errno == ENXIO ? size_of(file) : 0;
}

std::uint64_t size_of(int file) {
    const off_t end = ::lseek(file, 0, SEEK_END);
    return end < 0 ? 0 : static_cast<std::uint64_t>(end);
}

}  // namespace postern::output
