// What the guard and its launcher say to each other.
//
// Nothing of a job is in the launcher's arguments or environment (others may read those). It is
// started with one descriptor, 3, `control`: its end of a SOCK_SEQPACKET pair. It may wait there
// before there is a job for it. All that it needs for one comes in one message:
//
//     a byte, `with_cgroup` and `order_in_file` or neither, and then the order (below); and these
//     descriptors, which get the lowest numbers that are free, so that the first three are
//
//     0, 1, 2  the job's own stdin, stdout and stderr
//     then     the program, O_PATH
//              cgroup.procs of the job's cgroup, open for writing       with_cgroup
//              the order, in a sealed memory file                       order_in_file
//
// An order of 65,536 groups is larger than what a socket takes at once, and the guard waits for
// nobody: hence the file.
//
// Then the launcher sends one Report (`ready`, or what failed), the guard answers `go`, and the
// launcher either sends a second Report or the exec closes its end. End of file instead of either
// message means that the guard is gone: the launcher leaves, and nothing was run.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace postern::launcher {

inline constexpr int control_fd = 3;

// In the first byte of the guard's first message.
inline constexpr std::uint8_t with_cgroup = 1;
inline constexpr std::uint8_t order_in_file = 2;
// Standard input, output and error, the program; and the two that may come.
inline constexpr std::size_t least_descriptors = 4;
inline constexpr std::size_t most_descriptors = 6;

// An order is a version byte and then the fields, in their order: integers little-endian and of
// fixed size, a string or list preceded by its 32-bit length, a bool one byte that is 0 or 1.
struct Order {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;  // complete, ascending
    bool join_cgroup = false;
    std::uint64_t open_files = 0;  // soft RLIMIT_NOFILE; 0: as inherited
    std::string program;           // its absolute path
    std::string working_directory;
    std::vector<std::string> argv;
    std::vector<std::string> environment;  // NAME=text
    friend bool operator==(const Order&, const Order&) = default;
};

// Larger than any order whose exec can succeed (execve(2): arguments and environment share at most
// 6 MiB).
inline constexpr std::size_t order_bytes = 8 * 1024 * 1024;

// Error: a text has a NUL byte inside, there is no argv[0], or it is larger than order_bytes.
Result<std::vector<std::uint8_t>> encode(const Order& order);
// Error: these are not the bytes of an order, to the last one.
Result<Order> decode(std::span<const std::uint8_t> bytes);

// How far the launcher came.
enum class Stage : std::uint8_t {
    ready = 0,  // nothing failed
    descriptors = 1,
    order = 2,
    cgroup = 3,
    posix_session = 4,
    open_files = 5,
    keyring = 6,
    program = 7,
    groups = 8,
    gid = 9,
    uid = 10,
    capabilities = 11,
    working_directory = 12,
    exec = 13,
};

struct Report {
    Stage stage = Stage::ready;
    int error = 0;  // errno of the stage
};

using ReportBytes = std::array<std::uint8_t, 8>;
ReportBytes encode(const Report& report);
// Error: no such report.
Result<Report> decode_report(std::span<const std::uint8_t> bytes);

inline constexpr std::uint8_t go = 1;

// For messages, after "failed while": "joining its cgroup".
std::string_view doing(Stage stage);

}  // namespace postern::launcher
