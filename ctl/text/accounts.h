// Names of users and groups, for people. Empty or nothing where there is none, or where the
// accounts can't be read: a name is never worth a failure.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace postern::ctl {

std::string user_name(uid_t uid);
std::string group_name(gid_t gid);
// Those that the group lists; not those whose primary group it is.
std::vector<std::string> group_members(gid_t gid);

// "1000 (alice)", or "1000".
std::string user_text(uid_t uid);
std::string group_text(gid_t gid);

// A message in which the daemon names its caller, "... (uid 1000, gid 1000, groups 27 1000, ...",
// with the names: it may not look them up by itself, since that can take long. What is not of that
// form stays as it is.
std::string with_names(std::string_view message);

}  // namespace postern::ctl
