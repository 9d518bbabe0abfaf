// How action files are loaded.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/accounts.h"

namespace postern::policy {

// Of packages; where none has put an action there, it does not exist, and nothing is amiss.
inline constexpr std::string_view vendor_folder = "/usr/lib/postern/actions.d";

struct LoadOptions {
    // Absolute folders of action files; a file in a later one wins over one of the same name in an
    // earlier. A folder that does not exist counts as empty.
    std::vector<std::string> folders;
    // Who may own the files besides root: the guard's own uid. Not 0: every job runs as this user.
    uid_t owner = 0;
    // Then also the groups of every job: those of the process, which it can't change.
    gid_t gid = ::getegid();
    std::vector<gid_t> groups = process_groups();
    // Whether systemd supervises jobs: else there is no sandbox for them.
    bool systemd = false;
    // Where callers connect: it is told which members of groups in rules can't.
    std::vector<std::string> sockets;
    // Where subuid, subgid, nsswitch.conf and login.defs are.
    std::string system_settings = "/etc";
    // Timeout of an action that names none.
    std::chrono::microseconds default_timeout = std::chrono::hours(1);
};

}  // namespace postern::policy
