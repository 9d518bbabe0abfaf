// "user", "group", "groups": whom the job runs as.
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "daemon/policy/file/document.h"
#include "daemon/policy/file/load_options.h"
#include "daemon/policy/snapshot.h"
#include "host/accounts.h"

namespace postern::policy {

struct RunAs {
    Account account;  // home and shell are those of the job's environment
    gid_t gid = 0;
    std::vector<gid_t> groups;  // complete, ascending
    // systemd must be told the account's name: it would take the uid for another account.
    bool by_name = false;
};

// Absent: reported to the document.
std::optional<RunAs> read_run_as(Document& document, const LoadOptions& options);

// A job that runs as its caller's own user can be traced by that caller (ptrace(2)), who so gets
// the job's groups: reported where the rules alone show that a caller without them is let in.
// decide() refuses the rest.
void check_lent_groups(Document& document, const RunAs& run_as, const std::vector<Rule>& allow,
                       const std::vector<Rule>& deny);

}  // namespace postern::policy
