// The option of those verbs that look at jobs.
#pragma once

#include "ctl/verbs/option.h"

namespace postern::ctl {

inline constexpr Option option_all{
    .name = "all", .value = "", .help = "jobs of all users: for the administrator"};

}  // namespace postern::ctl
