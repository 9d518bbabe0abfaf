// The system's unit that a caller's process is in, read when it is needed: no rule may name one,
// and most connections end before anybody asks.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/unique_fd.h"

namespace postern {

struct PeerCalls;

class LateUnit {
  public:
    // Not known.
    LateUnit() = default;
    // Implicit on purpose: what is known already is one too.
    LateUnit(std::optional<std::string> unit)  // NOLINT(google-explicit-constructor)
        : unit_(unit ? std::make_unique<const std::string>(*std::move(unit)) : nullptr) {}
    // Of this process, which the pidfd pins until it is asked for.
    LateUnit(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

    // Absent: not known, as of a process that had ended before this was first called.
    [[nodiscard]] std::optional<std::string> get() const;
    [[nodiscard]] std::optional<std::string> get(const PeerCalls& calls) const;
    // Whether that reads nothing any more.
    [[nodiscard]] bool is_read() const { return !pidfd_; }

    // Processes are pinned by descriptors below this, which are half of all that there may be: the
    // others are left to what serves callers. A unit that would be pinned by a higher one is read
    // at once.
    static int highest_pinning();

  private:
    mutable std::unique_ptr<const std::string> unit_;
    pid_t pid_ = 0;
    mutable UniqueFd pidfd_;
};

}  // namespace postern
