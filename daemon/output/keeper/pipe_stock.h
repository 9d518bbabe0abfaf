// Pipes that a guard wants for its jobs, made one by one as it takes them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/channel/transport.h"
#include "daemon/output/keeper/guard_link.h"
#include "daemon/output/message.h"

namespace postern::output {

class PipeStock {
  public:
    // `kind`: of the messages that carry them. `mode`: lets a job, whatever its user, open its own
    // end again by name (/dev/stdout, /dev/stdin), but not the other end: who may write may not
    // read what others wrote. Nobody else has the pipe below its /proc.
    PipeStock(Kind kind, mode_t mode) : kind_(kind), mode_(mode) {}

    // This many more.
    void want(std::uint32_t count);
    // Sends those that are wanted, as far as the guard takes them now.
    channel::Sent give(GuardLink& guard);
    // There is no guard any more.
    void stop();

  private:
    Kind kind_;
    mode_t mode_;
    std::uint32_t wanted_ = 0;
    // Made, and not given yet.
    std::optional<std::pair<UniqueFd, UniqueFd>> spare_;
};

}  // namespace postern::output
