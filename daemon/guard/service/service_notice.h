// What the service manager is told of the guard (sd_notify(3)), without ever waiting for it: where
// it does not read, sd_notify(3) itself would stand still, and the guard with it.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "daemon/loop/event_source.h"

namespace postern {

class ServiceNotice {
  public:
    // Where nobody asked to be told ($NOTIFY_SOCKET is not set), nothing is ever said. Where it is
    // no address, or nothing can be sent there, the log says so, once.
    explicit ServiceNotice(sd_event* event);
    ServiceNotice(const ServiceNotice&) = delete;
    ServiceNotice& operator=(const ServiceNotice&) = delete;
    ~ServiceNotice() = default;

    // "READY=1": is said in its turn, later if need be.
    void say(std::string text);
    // "STATUS=...": the last one counts, an earlier one that could not be said is dropped.
    void say_status(std::string text);
    // Says WATCHDOG=1 twice in each WatchdogSec=, if the service has one, and calls `besides` then.
    void keep_alive(std::function<void()> besides = [] {});

  private:
    void say_alive();
    bool send(const std::string& text);
    void flush();

    UniqueFd socket_;
    sockaddr_un address_{};
    socklen_t address_length_ = 0;
    std::deque<std::string> waiting_;
    std::optional<std::string> status_;
    bool failed_ = false;  // once, and that was logged
    std::chrono::microseconds alive_time_{0};
    std::function<void()> besides_;
    Timer retry_timer_;
    Timer alive_timer_;
};

}  // namespace postern
