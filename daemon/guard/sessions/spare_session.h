// How a postern-session is started; and one that is ready before there is anybody to serve, since
// only that shows that a caller would be served. It belongs to nobody until it is told whom it is
// for.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/loop/child.h"
#include "daemon/loop/spawner.h"

namespace postern {

// What sessions are started with.
struct SessionSettings {
    Spawner* spawner = nullptr;  // outlives them
    int program = -1;            // postern-session, opened when the guard started
    // The ids to drop to; absent in user mode, where there is nothing to drop to.
    std::optional<std::pair<uid_t, gid_t>> ids;
    std::uint64_t reply_output_bytes = 0;
    std::chrono::microseconds idle{0};
    // Descriptors that one may have: its connections and the files of their jobs.
    std::uint64_t descriptors = 0;
};

struct SpareSession {
    std::unique_ptr<Child> child;  // nobody is told of its end
    UniqueFd channel;              // the guard's end
};

// Errors: no descriptor, process or memory to be had.
Result<SpareSession> spawn_session(sd_event* event, const SessionSettings& settings);

// What was started, once it has said that it is ready. Waits for that, at most
// limits::session_patience: not for inside the loop. Error, for the administrator: why not, in the
// session's own words where it has some.
Result<SpareSession> try_session(Result<SpareSession> started, const SessionSettings& settings);

}  // namespace postern
