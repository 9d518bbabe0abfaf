#include "ctl/verbs/verbs.h"

#include <array>

namespace postern::ctl {

std::span<const Verb* const> verbs() {
    static constexpr std::array rows = {
        &verb_run,    &verb_attach, &verb_logs, &verb_wait,     &verb_jobs,   &verb_show,
        &verb_cancel, &verb_notify, &verb_list, &verb_describe, &verb_check,  &verb_whoami,
        &verb_ping,   &verb_call,   &verb_lint, &verb_status,   &verb_reload, &verb_log_level,
    };
    return rows;
}

}  // namespace postern::ctl
