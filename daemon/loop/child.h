// The guard's own helper programs: found and opened once, when it starts, so that an upgrade in
// between can't mix versions.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/spawner.h"

namespace postern {

// Opens a program of ours: beside posternd itself (a build tree), else in the installed folder.
// O_PATH, close-on-exec, numbered 10 or higher, so that it is not in the way of what a child finds
// at low numbers. Errors name the paths that were tried.
Result<UniqueFd> open_helper(const std::string& name);

// As what it finds the channel that it is given.
inline constexpr int child_channel_fd = 3;

// A process of such a program, which is the guard's own until it drops what it has.
class Child {
  public:
    // Starts it with /dev/null as 0, 1 and 2 and `channel` as 3, no environment, default signals,
    // and at most so many descriptors. `exited` is called from the loop once it is reaped, with how
    // it ended, in words. Errors: no descriptor, process or memory to be had.
    static Result<std::unique_ptr<Child>> spawn(sd_event* event, Spawner& spawner, int program,
                                                const std::vector<std::string>& arguments,
                                                int channel, std::uint64_t descriptors,
                                                std::function<void(const std::string& how)> exited);
    Child(pid_t pid, std::function<void(const std::string& how)> exited)
        : pid_(pid), exited_(std::move(exited)) {}
    // Kills it, and does not wait until it is gone.
    ~Child();
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    void kill() const;
    // Who is told that it exited, from now on.
    void set_exited(std::function<void(const std::string& how)> exited) {
        exited_ = std::move(exited);
    }

  private:
    void on_exit();

    pid_t pid_;
    std::function<void(const std::string& how)> exited_;
    UniqueFd pidfd_;
    EventSource source_;
    bool reaped_ = false;
};

}  // namespace postern
