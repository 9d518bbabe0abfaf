// Lists of the system calls that a program of ours may make: whatever is not on its list ends it by
// SIGSYS (seccomp(2)).
#pragma once

#include <seccomp.h>

#include <initializer_list>

#include "base/result.h"

namespace postern {

// Puts a list in force for this process, all its threads, which needs NoNewPrivileges. `add_rules`
// makes it, by what stands below, and returns 0 or a negative errno. Errors: the kernel has no
// seccomp, or refuses the filter.
//
// A sanitizer opens files, starts threads and writes reports whenever it likes: in such a build
// `add_rules` is not asked, and what is forbidden is what neither it nor any of our programs ever
// does.
Status limit_system_calls(int (*add_rules)(scmp_filter_ctx filter));

// Whatever their arguments.
int allow_calls(scmp_filter_ctx filter, std::initializer_list<int> calls);

// Those where this holds for an argument.
int allow_calls_if(scmp_filter_ctx filter, std::initializer_list<int> calls, scmp_arg_cmp argument);

// What every program needs: memory, which can't be made executable; what the C library does by
// itself; the end.
int allow_basic_calls(scmp_filter_ctx filter);

}  // namespace postern
