// The option of those verbs that take jobs.
#pragma once

#include "ctl/verbs/invocation.h"
#include "ctl/verbs/option.h"
#include "ctl/verbs/verb.h"

namespace postern::ctl {

inline constexpr Option option_all{
    .name = "all", .value = "", .help = "jobs of all users: for the administrator"};

// The administration socket knows everybody's jobs.
inline Asks whom_jobs_ask(const Invocation& invocation) {
    return invocation.given(option_all) ? Asks::administrator : Asks::daemon;
}

}  // namespace postern::ctl
