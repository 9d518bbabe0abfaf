// How the guard gets to postern-output: its unit's socket, or a process of the guard's own.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <optional>
#include <string>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/jobs/output/keeper_link.h"
#include "daemon/loop/spawner.h"

namespace postern {

// To a unit of its own, which continues when the guard ends. `socket`: an absolute path; `unit`:
// what messages say to start.
jobs::KeeperLink::Connect connect_to_keeper(std::string socket, std::string unit);

// To a process that ends with the guard, and is started again if it dies. `event` and `spawner`
// outlive what is returned. Without ids it runs as the guard's own user.
jobs::KeeperLink::Connect start_keeper(sd_event* event, Spawner& spawner, UniqueFd program,
                                       std::optional<std::pair<uid_t, gid_t>> ids);

}  // namespace postern
