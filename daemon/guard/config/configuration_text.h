// What --check prints of the configuration: what is not as by default, and where it comes from.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "daemon/guard/config/configuration.h"

namespace postern {

// Lines, each with its newline.
std::string configuration_text(const Configuration& configuration, const Configuration& defaults);

// {"files": [...], "values": [{"key", "value", "from"}, ...]}
nlohmann::ordered_json configuration_json(const Configuration& configuration,
                                          const Configuration& defaults);

}  // namespace postern
