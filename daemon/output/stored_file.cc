#include "daemon/output/stored_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace postern::output {

int free_front(int file, std::uint64_t until) {
    const std::uint64_t end = until / block_bytes * block_bytes;
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
