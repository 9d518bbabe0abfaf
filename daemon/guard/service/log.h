// The daemon's own log: to stderr, with the journal's priority prefixes where stderr is the
// journal.
#pragma once

#include <string>

#include "base/result.h"

namespace postern {

// Sets spdlog's default logger. Lines never block: where stderr takes none, they are counted and
// the next one that goes out says how many are missing. Error: no such level (names those that
// are).
Status start_log(const std::string& level);

// Whether lines end up in the journal.
bool log_is_journal();

// Changes the level. The same error.
Status set_log_level(const std::string& level);
std::string log_level();

}  // namespace postern
