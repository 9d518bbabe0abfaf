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

// The groups of the job that its user does not have; none where that is root, who can have all.
//
// A job can be traced by who is its user (ptrace(2)), and that is who has its uid, a subordinate
// uid of that user, or a way to either. So an action that lends groups is for callers that a rule
// names by user, and that it does not name the job's own without the groups: reported where a rule
// does otherwise. decide() refuses the rest.
std::vector<gid_t> read_lent_groups(Document& document, const RunAs& run_as,
                                    const std::vector<Rule>& allow);

}  // namespace postern::policy
