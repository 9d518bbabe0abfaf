// What is written down of somebody who is not let in.
#pragma once

#include <string>

#include "daemon/guard/audit/audit.h"
#include "daemon/guard/listen/identity.h"

namespace postern {

// `peer`: null where the kernel does not say who it is. `listener`: the socket's name.
inline void audit_refusal(Audit& audit, AuditEvent::Kind kind, const Peer* peer,
                          const std::string& listener, const std::string& reason) {
    AuditEvent event;
    event.kind = kind;
    if (peer != nullptr) {
        event.caller = &peer->caller;
        event.pid = peer->pid;
        event.unit = peer->unit.get();
    }
    event.listener = listener;
    event.reason = reason;
    audit.write(event);
}

}  // namespace postern
