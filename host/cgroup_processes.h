// The processes of a cgroup (cgroups(7)), by its directory in a cgroup2 file system.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

namespace postern {

// The paths of the cgroups right below it.
std::vector<std::string> cgroups_below(const std::string& cgroup);

// How many processes are in it and in all cgroups below it, `but` not counted; those that have
// ended and are not waited for yet are not listed there. 0 where there is no such directory.
std::size_t count_processes(const std::string& cgroup, pid_t but = -1);

}  // namespace postern
