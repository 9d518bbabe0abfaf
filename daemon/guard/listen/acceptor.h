// Takes connections from the listeners: accept, who is it, and on to its session.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <optional>
#include <vector>

#include "base/result.h"
#include "daemon/guard/listen/listener.h"
#include "daemon/guard/sessions/session_pool.h"
#include "daemon/loop/event_source.h"

namespace postern {

class Acceptor {
  public:
    // `only_uid`: whom a guard of an ordinary user serves; everybody else is refused, root
    // included.
    Acceptor(sd_event* event, std::vector<Listener> listeners, SessionPool& pool,
             std::optional<uid_t> only_uid);
    ~Acceptor() = default;
    Acceptor(const Acceptor&) = delete;
    Acceptor& operator=(const Acceptor&) = delete;

    // Begins to accept. Error: the loop takes no more sources.
    Status start();
    // Accepts no more; the listeners stay open, so that nobody is turned away.
    void stop();

    [[nodiscard]] const std::vector<Listener>& listeners() const { return listeners_; }

  private:
    struct Source {
        Acceptor* acceptor;
        const Listener* listener;
        EventSource event;
    };
    static int on_connection(sd_event_source* source, int fd, std::uint32_t revents,
                             void* userdata);
    static int on_resume(sd_event_source* source, std::uint64_t time, void* userdata);
    void take(const Listener& listener, UniqueFd connection);
    void pause(int error);
    void set_enabled(bool enabled);

    sd_event* event_;
    std::vector<Listener> listeners_;
    SessionPool& pool_;
    std::optional<uid_t> only_uid_;
    std::vector<std::unique_ptr<Source>> sources_;
    EventSource resume_;
    bool stopped_ = false;
    int failing_ = 0;  // errno of the last accept, if it failed
};

}  // namespace postern
