// What is not safe about ranges of subordinate ids.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "host/subordinate_ids.h"

namespace postern::policy {

// Ids that somebody has, ascending: with a name for each.
using NamedIds = std::vector<std::pair<id_t, std::string>>;

// FILE:LINE: what; what to do. For ranges that cover one of `taken` ("account" or "group"), a range
// of another owner, the ids that systemd gives to services with DynamicUser (61184 to 65519) or to
// containers (524288 to 1878982655; systemd.exec(5), "UIDs, GIDs and systemd").
std::vector<std::string> range_warnings(const std::string& file,
                                        const std::vector<SubordinateIds>& ranges,
                                        const NamedIds& taken, const std::string& what_is_taken);

}  // namespace postern::policy
