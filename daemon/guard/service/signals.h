// What signals do to the guard. SIGTERM and SIGINT stop it, SIGHUP loads the action files and opens
// the audit file again, SIGUSR1 only opens the audit file again, since that is what programs that
// rotate logs send. All others that could end it are named in the log and do nothing more.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "base/result.h"
#include "daemon/loop/event_source.h"

namespace postern {

class Signals {
  public:
    struct Hooks {
        std::function<void()> stop;
        std::function<void()> reload;
        std::function<void()> open_audit;
    };

    // For this thread and all that it starts: before any other is there.
    static void block();

    // They were blocked. Error: the loop takes no more sources.
    static Result<std::unique_ptr<Signals>> watch(sd_event* event, Hooks hooks);

  private:
    explicit Signals(Hooks hooks) : hooks_(std::move(hooks)) {}
    void take(const signalfd_siginfo& info);
    void name_stranger(const signalfd_siginfo& info);

    Hooks hooks_;
    std::set<int> named_;
    std::vector<EventSource> sources_;
};

}  // namespace postern
