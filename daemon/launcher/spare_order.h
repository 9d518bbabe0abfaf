// What the guard tells a launcher that waits in a spare: a unit in which everything but the program
// is in place already.
//
//     postern-launcher --spare
//
// Its standard input is one end of a SOCK_STREAM pair, and it needs no other calls than read(2) and
// write(2) on it, because a sandbox may allow no more. It reads one order, says `taken` in one
// byte, and executes the program, whose standard input is then /dev/null. What can't be done after
// the order was read and before that byte makes it leave with another one: nothing was run. A
// program that can't be executed after it is said with `not_executed` and errno.
//
// Who waits in vain, because the guard has died, leaves by a signal, so that no exit code of a
// job's can be taken for it.
#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/launcher/order.h"

namespace postern::launcher {

inline constexpr const char* spare_option = "--spare";

struct SpareOrder {
    std::string program;  // absolute path
    std::vector<std::string> argv;
    std::vector<std::string> environment;  // NAME=text
    friend bool operator==(const SpareOrder&, const SpareOrder&) = default;
};

// Before the order itself: what it is, which version of it, and its length, little-endian.
inline constexpr std::size_t spare_header_bytes = 12;
using SpareHeader = std::array<std::uint8_t, spare_header_bytes>;

// With its header. Error: as encode().
Result<std::vector<std::uint8_t>> encode_spare(const SpareOrder& order);
// Error: it is not the header of an order that is at most order_bytes long.
Result<std::size_t> body_length(const SpareHeader& header);
// What follows the header. Error: these are not the bytes of an order, to the last one.
Result<SpareOrder> decode_spare(std::span<const std::uint8_t> body);

enum class SpareAnswer : std::uint8_t {
    taken = 'A',         // the program is executed next
    refused = 'N',       // nothing was run and nothing will be; errno follows
    not_executed = 'X',  // it could not be; errno follows
};
// errno, in four bytes, little-endian.
inline constexpr std::size_t spare_error_bytes = 4;

// By which a launcher ends that has nothing to execute: nothing was run.
inline int leaving_signal() {
    return SIGRTMAX - 1;
}
// With which it exits where the program can't be executed, as systemd does.
inline constexpr int exec_failed_status = 203;

}  // namespace postern::launcher
