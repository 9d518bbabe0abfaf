// Ctrl-C, SIGTERM and SIGHUP (the terminal is gone, a broken ssh) as something to poll for.
#pragma once

#include <array>
#include <csignal>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern::ctl {

// While it lives, SIGINT, SIGTERM and SIGHUP are only noted; afterwards they have their former
// effect. A signal that was ignored when the program started stays ignored (a shell starts
// background jobs so, and nohup its program). At most one at a time.
class Interrupt {
  public:
    static constexpr std::array signals = {SIGINT, SIGTERM, SIGHUP};

    static Result<Interrupt> watch();
    Interrupt(Interrupt&& other) noexcept;
    Interrupt& operator=(Interrupt&&) = delete;
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;
    ~Interrupt();

    // Readable once a signal came, and from then on.
    [[nodiscard]] int fd() const { return readable_.get(); }
    // The first signal that came; 0: none.
    static int signal();
    // SIGINT and SIGTERM have their former effect again: what is still done may take long, and must
    // not keep anybody from ending this process.
    static void let_end();

    // From now on a pipe that its reader closed (a broken ssh without a terminal) does not end this
    // process: the write fails, and this is noted.
    static void note_closed_pipe();
    static bool pipe_was_closed();
    // Ends this process as it would have.
    static void end_by_closed_pipe();

  private:
    explicit Interrupt(UniqueFd readable) : readable_(std::move(readable)) {}
    UniqueFd readable_;
};

}  // namespace postern::ctl
