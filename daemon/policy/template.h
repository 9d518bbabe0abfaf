// "{service}.service" -> pieces. "{{" and "}}" stand for single braces.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "daemon/policy/snapshot.h"

namespace postern::policy {

// [A-Za-z_][A-Za-z0-9_-]*, at most 64 bytes.
bool is_argument_name(std::string_view name);

// The error says what is wrong and what to do. Whether the names are those of arguments is not
// asked here.
Result<Template> parse_template(std::string_view text);

}  // namespace postern::policy
