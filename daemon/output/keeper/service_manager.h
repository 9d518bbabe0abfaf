// The service manager that started the keeper: what it is told (sd_notify(3)), and its store of
// descriptors, which outlives this process.
//
// By a socket that is connected before the process gives up its rights. (sd_notify(3) would open
// one for each message.)
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace postern::output {

class ServiceManager {
  public:
    // By $NOTIFY_SOCKET; without it, nothing is ever said.
    static ServiceManager connect();
    ServiceManager() = default;

    // Never waits. False: it was not said; try again later.
    [[nodiscard]] bool say(std::string_view text, int descriptor = -1) const;
    [[nodiscard]] bool is_there() const { return static_cast<bool>(socket_); }

  private:
    explicit ServiceManager(UniqueFd socket) : socket_(std::move(socket)) {}

    UniqueFd socket_;
};

// How often to send WATCHDOG=1: at half of WatchdogSec= (sd_watchdog_enabled(3)).
std::optional<std::chrono::microseconds> watchdog_time();

// What it had stored (sd_listen_fds_with_names(3)): the descriptors from 3 on, which are now the
// caller's.
struct Stored {
    std::string name;
    UniqueFd descriptor;
};
std::vector<Stored> stored_descriptors();

}  // namespace postern::output
