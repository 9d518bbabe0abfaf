// All processes of one job, however many it made: what can be done to them together.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "base/unique_fd.h"

namespace postern::jobs {

class Processes {
  public:
    virtual ~Processes() = default;
    Processes() = default;
    Processes(const Processes&) = delete;
    Processes& operator=(const Processes&) = delete;

    // The main process: it leads its own process group. Not reaped while this is used, unless
    // can_reap_main().
    virtual void set_main(pid_t pid) = 0;
    [[nodiscard]] virtual bool can_reap_main() const = 0;

    // TERM or another signal, and CONT so that stopped ones get it.
    virtual void terminate(int signal) = 0;
    // False: some may be left (made meanwhile): call it again.
    virtual bool kill() = 0;
    // Precondition: the main process has exited. Whether none is left besides it.
    [[nodiscard]] virtual bool empty() const = 0;
    // The same precondition. How many are left besides it.
    [[nodiscard]] virtual std::size_t count() const = 0;
    // A file that is modified when empty() changes; without one (empty text) look again and again.
    [[nodiscard]] virtual std::string watched_file() const = 0;
    // Whether killed processes are certain to go in the end, so that it is right to wait for it.
    [[nodiscard]] virtual bool kill_is_certain() const = 0;
    // Precondition: empty().
    virtual void remove() = 0;
};

}  // namespace postern::jobs
