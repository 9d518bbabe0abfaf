#include "daemon/launcher/receive_job.h"

#include <linux/close_range.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/control_data.h"
#include "base/limits.h"

namespace postern::launcher {
namespace {

Unexpected<Report> broken(Stage stage, int error) {
    return Unexpected(Report{stage, error});
}

Result<std::vector<std::uint8_t>, Report> read_order(int file) {
    struct stat status{};
    if (fstat(file, &status) < 0) return broken(Stage::order, errno);
    if (status.st_size < 0 || static_cast<std::size_t>(status.st_size) > order_bytes) {
        return broken(Stage::order, EMSGSIZE);
    }
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(status.st_size));
    std::size_t have = 0;
    while (have < bytes.size()) {
        const ssize_t got =
            pread(file, bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return broken(Stage::order, got < 0 ? errno : EBADMSG);
        have += static_cast<std::size_t>(got);
    }
    return bytes;
}

// How many descriptors come with a message of this kind.
std::size_t descriptors_of(std::uint8_t kind) {
    return least_descriptors + ((kind & with_cgroup) != 0 ? 1 : 0) +
           ((kind & order_in_file) != 0 ? 1 : 0);
}

// The first three stay where they are; they are the job's.
bool take_standard(std::vector<UniqueFd>& descriptors) {
    for (int number = 0; number < control_fd; ++number) {
        if (descriptors[static_cast<std::size_t>(number)].get() != number) return false;
        (void)descriptors[static_cast<std::size_t>(number)].release();
    }
    return true;
}

}  // namespace

Result<std::optional<Told>, Report> receive_job() {
    std::array<std::uint8_t, 1 + limits::launcher_order_bytes> packet;
    DescriptorSpace<most_descriptors> control;
    iovec data{packet.data(), packet.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
    ssize_t got = 0;
    while ((got = recvmsg(control_fd, &message, 0)) < 0 && errno == EINTR) {
    }
    if (got == 0) return std::optional<Told>();
    if (got < 0) return broken(Stage::order, errno);
    std::vector<UniqueFd> descriptors = take_descriptors(message);
    if ((message.msg_flags & MSG_CTRUNC) != 0) return broken(Stage::descriptors, EMFILE);
    if ((message.msg_flags & MSG_TRUNC) != 0) return broken(Stage::order, EMSGSIZE);
    const std::uint8_t kind = packet.front();
    if (kind > (with_cgroup | order_in_file) || descriptors.size() != descriptors_of(kind)) {
        return broken(Stage::order, EBADMSG);
    }
    if (!take_standard(descriptors)) return broken(Stage::descriptors, EBADF);
    // With control. Linux has it since 5.11.
    if (close_range(control_fd, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0) {
        return broken(Stage::descriptors, errno);
    }
    Told told;
    told.program = std::move(descriptors[control_fd]);
    if ((kind & with_cgroup) != 0) told.cgroup_procs = std::move(descriptors[least_descriptors]);
    std::span<const std::uint8_t> bytes(packet.data() + 1, static_cast<std::size_t>(got) - 1);
    std::vector<std::uint8_t> of_file;
    if ((kind & order_in_file) != 0) {
        auto read = read_order(descriptors.back().get());
        if (!read) return Unexpected(std::move(read).error());
        of_file = std::move(*read);
        bytes = of_file;
    }
    auto order = decode(bytes);
    if (!order) return broken(Stage::order, EBADMSG);
    told.order = std::move(*order);
    return std::optional(std::move(told));
}

}  // namespace postern::launcher
