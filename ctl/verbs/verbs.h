// The verbs of posternctl.
#pragma once

#include <span>

#include "ctl/verbs/verb.h"

namespace postern::ctl {

// In the order of the help.
std::span<const Verb* const> verbs();

// Each in the file of its name.
extern const Verb verb_run;
extern const Verb verb_attach;
extern const Verb verb_logs;
extern const Verb verb_wait;
extern const Verb verb_notify;
extern const Verb verb_list;
extern const Verb verb_describe;
extern const Verb verb_check;
extern const Verb verb_whoami;
extern const Verb verb_ping;
extern const Verb verb_cancel;
extern const Verb verb_call;
extern const Verb verb_lint;
extern const Verb verb_status;
extern const Verb verb_reload;
extern const Verb verb_log_level;
extern const Verb verb_jobs;
extern const Verb verb_show;

}  // namespace postern::ctl
