// What a person is told who waits for a daemon that takes calls and answers none: systemd keeps its
// sockets while it can't start.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "ctl/wire/socket_path.h"

namespace postern::ctl {

// "waiting for the daemon; ...", by whose socket it is.
std::string waiting_text(const std::string& path, const SocketEnvironment& environment);

// From the first wait for an answer on. Said once in a process, on standard error.
class Silence {
  public:
    static constexpr std::chrono::seconds patience{3};

    // Says it if it is time. For poll(2), in milliseconds: `timeout` (-1: no bound), or less where
    // it is still to be said.
    int bound(int timeout, const std::string& path);

  private:
    std::optional<std::chrono::steady_clock::time_point> since_;
};

}  // namespace postern::ctl
