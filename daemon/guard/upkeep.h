// What the guard depends on and others can take away from it while it runs: the files of its
// sockets, its state directory, the file of its audit. Looked at when the administrator asks for
// the status or for a reload, when inotify says that a socket's directory has changed, and while
// the loop has something to do anyway, every few seconds: an idle guard is not woken up for it
// (where a watchdog wakes it, that is the time).
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/guard/audit/audit.h"
#include "daemon/guard/listen/socket_watch.h"
#include "daemon/jobs/job_manager.h"
#include "model/call.h"

namespace postern {

class Upkeep {
  public:
    // They outlive this.
    Upkeep(std::unique_ptr<SocketWatch> sockets, jobs::JobManager& jobs, Audit& audit)
        : sockets_(std::move(sockets)), jobs_(jobs), audit_(audit) {}

    void start();
    // To be called now and then while the loop has something to do.
    void look_now_and_then();
    void stop();
    // Looks at all, and mends what it can.
    void look();
    // What is left after look(); nothing before start() and after stop().
    [[nodiscard]] std::vector<ProblemReport> problems();

  private:
    std::unique_ptr<SocketWatch> sockets_;
    jobs::JobManager& jobs_;
    Audit& audit_;
    bool active_ = false;
    std::chrono::steady_clock::time_point looked_;
};

}  // namespace postern
