// Subordinate ids, and what a process's map says: the texts of subuid(5), subgid(5),
// nsswitch.conf(5), login.defs(5) and /proc/PID/uid_map (user_namespaces(7)). Pure: nothing here
// opens a file or looks a name up.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

// OWNER:FIRST:COUNT, of /etc/subuid or /etc/subgid.
struct SubordinateIds {
    std::string owner;  // a user's name or number, as it stands there
    id_t first = 0;
    id_t last = 0;         // included; at most 4294967294
    std::size_t line = 0;  // from 1 on
    bool operator==(const SubordinateIds&) const = default;
};

// All lines that newuidmap(1) takes, in their order; it passes over the others. Numbers are as
// strtoul(3) reads them with base 0, since that is what it does (shadow 4.13, lib/subordinateio.c).
std::vector<SubordinateIds> parse_subordinate_ids(std::string_view text);

// What the text of /etc/nsswitch.conf names as the sources of subordinate ids ("files" where it has
// no line for them), as it stands there.
std::string subordinate_id_sources(std::string_view nsswitch);

// The highest uid of a system account, by the text of /etc/login.defs; 999 where it says nothing.
uid_t last_system_uid(std::string_view login_defs);

// The first id outside of each line of a uid_map, in order; 4294967295 is one that the reader's
// namespace does not have. Absent: it is no map, or an empty one (nobody has written it yet).
std::optional<std::vector<id_t>> first_outside_ids(std::string_view uid_map);

}  // namespace postern
