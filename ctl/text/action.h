// What Describe says of an action, as posternctl needs it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "model/action.h"

namespace postern::ctl {

// The wire's type Action. Fields and values that this version does not know are passed over. The
// error says which field is not what the interface promises.
Result<ActionDescription> decode_action(const nlohmann::json& action);

}  // namespace postern::ctl
