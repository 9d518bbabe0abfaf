// "environment" of an action's file: the variables that it sets.
#pragma once

#include <map>
#include <string>

#include "daemon/policy/file/document.h"

namespace postern::policy {

using Environment = std::map<std::string, std::string>;

// Over what is there already. What is wrong is reported to the document.
void read_environment(Document& document, bool sudo_compatible, Environment& environment);

}  // namespace postern::policy
