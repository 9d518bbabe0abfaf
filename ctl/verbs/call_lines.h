// `posternctl call --lines`: one call a line of standard input, all over one connection.
#pragma once

#include <cstddef>

#include "ctl/verbs/invocation.h"

namespace postern::ctl {

// Calls that are sent ahead of their answers.
inline constexpr std::size_t calls_ahead = 32;

// The exit code: that of the first answer that is an error; what was wrong with a line, or with the
// connection, comes before it.
int call_lines(const Invocation& invocation);

}  // namespace postern::ctl
