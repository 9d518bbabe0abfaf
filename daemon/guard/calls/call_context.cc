#include "daemon/guard/calls/call_context.h"

namespace postern {

AuditEvent CallContext::event(AuditEvent::Kind kind, const std::string& action) const {
    AuditEvent event;
    event.kind = kind;
    event.caller = origin_.caller.get();
    event.pid = origin_.pid;
    event.unit = origin_.unit;
    if (is_packet()) event.listener = origin_.listener;
    event.action = action;
    return event;
}

void OngoingCall::hand_over(const CallPtr& call, const HandOver& /*asked*/) {
    call->link().violated("it handed over what there is not");
}

}  // namespace postern
