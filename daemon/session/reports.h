// The reply to an administrator's call, of what the guard reports one by one.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "daemon/session/answer.h"
#include "model/call.h"

namespace postern::session {

// What the reply has before the guard has reported anything: of each kind of report that belongs to
// it, an empty list.
nlohmann::json empty_report(Management what);

// For OneReply.
Taken take_report(nlohmann::json& reply, const CallAnswer& answer);

}  // namespace postern::session
