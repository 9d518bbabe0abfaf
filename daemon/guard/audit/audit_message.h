// The audit for people: one event as one line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/guard/audit/account_names.h"
#include "daemon/guard/audit/audit.h"

namespace postern {

// "job-started: web.restart service=nginx, job 5faba0, by alice (uid 4242) unit ci.service, pid 7:
// allow group "deploy" (/etc/postern/actions.d/web.restart.json:4)". Printable ASCII: what a caller
// chose stands in double quotes, with JSON's escapes, unless it is of letters, digits and a few
// signs that can't be taken for the rest of the line, and is cut where it is long; all arguments,
// whole, are in fields of their own. `kind`: the event's name; `count`: as in audit_fields().
std::string audit_message(std::string_view kind, const AuditEvent& event, std::uint64_t count,
                          const AccountNames& names);

// How a job ended, in words: "exit code 3", "signal 15 (TERM)", "timeout, signal 9 (KILL)".
std::string describe(const JobResult& result);

}  // namespace postern
