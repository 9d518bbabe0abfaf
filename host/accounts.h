// Users and groups by name, from NSS (nsswitch.conf(5)): may block on a directory service.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace postern {

struct Account {
    std::string name;
    uid_t uid = 0;
    gid_t gid = 0;
    std::string home;
    std::string shell;
};

// Absent: there is none. The error is for when that can't be known now.
Result<std::optional<Account>> find_user(const std::string& name);
Result<std::optional<Account>> find_user(uid_t uid);
Result<std::optional<gid_t>> find_group(const std::string& name);

// All that NSS lists; a directory service may list none of its own, though it has them. Like the
// C library's functions: one at a time in the whole program.
std::vector<Account> all_users();
struct Group {
    std::string name;
    gid_t gid = 0;
    std::vector<std::string> members;  // by name, but for those whose primary group it is
};
std::vector<Group> all_groups();

// Absent: there is none. The error is for when that can't be known now.
Result<std::optional<Group>> find_group_by_id(gid_t gid);

// The groups that a login of this user would have with this primary group: ascending, each once,
// `gid` included.
std::vector<gid_t> groups_of(const std::string& user, gid_t gid);

// The same of this process.
std::vector<gid_t> process_groups();

// A decimal uid or gid without sign or leading zero. 4294967295 is none: it means "no change" or
// "not known" to the kernel.
std::optional<id_t> parse_id(std::string_view text);

}  // namespace postern
