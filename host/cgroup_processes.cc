#include "host/cgroup_processes.h"

#include <dirent.h>

#include <algorithm>
#include <string_view>

#include "base/io.h"
#include "host/directory.h"

namespace postern {
namespace {

constexpr std::size_t procs_bytes = 64 * 1024 * 1024;

}  // namespace

std::vector<std::string> cgroups_below(const std::string& cgroup) {
    std::vector<std::string> paths;
    const Directory open(opendir(cgroup.c_str()));
    if (!open) return paths;
    while (const dirent* entry = readdir(open.get())) {
        const std::string_view name(static_cast<const char*>(entry->d_name));
        if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
        std::string& path = paths.emplace_back(cgroup);
        path.append("/").append(name);
    }
    return paths;
}

std::size_t count_processes(const std::string& cgroup, pid_t but) {
    std::size_t count = 0;
    for (const std::string& inner : cgroups_below(cgroup)) count += count_processes(inner, but);
    const auto text = read_file(cgroup + "/cgroup.procs", procs_bytes);
    if (!text) return count;
    const std::string itself = std::to_string(but);
    std::string_view rest = *text;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        if (!line.empty() && line != itself) ++count;
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    }
    return count;
}

}  // namespace postern
