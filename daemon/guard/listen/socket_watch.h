// Whether callers still find the guard: the files of its sockets can be removed, renamed or
// replaced, each with its directory, and the guard would go on listening where nobody comes.
//
// A path that the guard bound itself and that is free again is bound again; the socket before is
// served as well, by whoever still reaches it. What is systemd's it can't mend, and names the
// command that does. inotify(7) only makes it look early: what counts is the comparison of what
// lies at the path.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/guard/listen/listener.h"
#include "daemon/loop/event_source.h"

namespace postern {

class SocketWatch {
  public:
    // Serves a socket that was bound again, beside those before.
    using Serve = std::function<Status(Listener listener)>;

    // `own_user`: the guard is an ordinary user's, and so is the systemd that has its sockets.
    SocketWatch(sd_event* event, const std::vector<Listener>& listeners, bool own_user,
                Serve serve);
    SocketWatch(const SocketWatch&) = delete;
    SocketWatch& operator=(const SocketWatch&) = delete;
    ~SocketWatch() = default;

    // Begins to look by itself, whenever inotify says that something has changed. (Where there is
    // none to be had it does not.)
    void start();
    // Looks, mends, and says in the log what has changed.
    void look();
    // What is wrong, and what to do, as of the last look().
    [[nodiscard]] std::vector<std::string> problems() const;

  private:
    struct Watched {
        std::shared_ptr<SocketFile> file;
        bool administrator = false;
        bool datagram = false;
        std::string problem;    // empty: it is there
        bool unserved = false;  // it was bound again, and the loop takes no more sources
    };

    std::string mend(Watched& one);
    [[nodiscard]] std::string command_for(const Watched& one) const;
    void watch_folders();
    void on_changes();
    void pause();

    sd_event* event_;
    bool own_user_;
    Serve serve_;
    std::vector<Watched> sockets_;
    bool bound_again_ = false;  // in the last look()
    UniqueFd inotify_;
    std::set<int> watches_;
    EventSource changes_;
    Timer resume_;
};

}  // namespace postern
