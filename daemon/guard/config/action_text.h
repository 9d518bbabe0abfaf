// What --check prints of an action: its whole command, and whom it runs as.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "daemon/policy/snapshot.h"

namespace postern {

// The elements of "exec" as they are in the file: "{service}.service", and "{{" for a brace.
std::vector<std::string> exec_of(const policy::Action& action);

// The same in one line; an element that has blanks is in double quotes.
std::string command_text(const policy::Action& action);

// Names of NSS; empty: there is none, or none can be had.
std::string name_of_user(uid_t uid);
std::string name_of_group(gid_t gid);

// "root", or "www-data:www-data" (numbers where there is no name), with the groups that are not all
// of it.
std::string identity_text(const policy::Action& action);

}  // namespace postern
