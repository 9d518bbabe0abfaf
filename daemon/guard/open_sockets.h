// The sockets that the daemon serves: those that systemd passed to it, and those that its
// configuration names.
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/result.h"
#include "daemon/guard/config/configuration.h"
#include "daemon/guard/listen/listener.h"

namespace postern {

struct OpenedSockets {
    std::vector<Listener> listeners;  // at least one
    bool all_passed = false;          // systemd starts the daemon again when one is called
};

// Takes and binds them, but accepts nothing. Where an ordinary user's own daemon is told of none
// and is not a service, they are where posternctl --user looks. Errors: what is passed or named
// can't be served (as of bind_listener()), or there is none for callers; the administrator's alone
// will do if it was passed.
Result<OpenedSockets> open_sockets(const Configuration& configuration, uid_t uid);

// Whether that there is none is what it says. To start again changes nothing of that.
bool says_that_there_is_none(const Error& error);

}  // namespace postern
