#include "daemon/jobs/direct/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "base/io.h"
#include "daemon/jobs/direct/proc.h"
#include "host/cgroup_processes.h"

namespace postern::jobs {
namespace {

constexpr std::size_t mountinfo_bytes = 16 * 1024 * 1024;
constexpr std::size_t procs_bytes = 64 * 1024 * 1024;
constexpr std::size_t small_file_bytes = 64 * 1024;
constexpr std::string_view jobs_prefix = "postern-jobs-";

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const std::size_t end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

// Space, tab, newline and backslash are \ooo there (proc(5), mountinfo).
std::string unescape(std::string_view text) {
    constexpr std::size_t escape = 4;
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned value = 0;
        if (text[i] == '\\' && i + escape <= text.size() &&
            std::from_chars(&text[i + 1], &text[i] + escape, value, 8).ptr == &text[i] + escape) {
            plain.push_back(static_cast<char>(value));
            i += escape - 1;
        } else {
            plain.push_back(text[i]);
        }
    }
    return plain;
}

// A job that runs as root may have made cgroups below its own.
bool remove_tree(const std::string& folder) {
    if (rmdir(folder.c_str()) == 0 || errno == ENOENT) return true;
    for (const std::string& inner : cgroups_below(folder)) remove_tree(inner);
    return rmdir(folder.c_str()) == 0;
}

bool is_populated(const std::string& folder) {
    const auto events = read_kernel_file(folder + "/cgroup.events");
    // Gone: nobody is in it. Any other failure: do not take it for empty.
    if (!events) return events.error() != ENOENT && events.error() != ENODEV;
    return events->find("populated 0") == std::string::npos;
}

bool is_below(std::string_view path, std::string_view parent) {
    return path.starts_with(parent) && (path.size() == parent.size() || path[parent.size()] == '/');
}

bool is_in_cgroup(pid_t pid, std::string_view path) {
    const auto text = read_file("/proc/" + std::to_string(pid) + "/cgroup", small_file_bytes);
    if (!text) return false;
    for (const std::string_view line : split(*text, '\n')) {
        if (line.starts_with("0::")) return is_below(line.substr(3), path);
    }
    return false;
}

bool lists_process(const std::string& folder, pid_t pid) {
    const auto text = read_file(folder + "/cgroup.procs", procs_bytes);
    if (!text) return false;
    const std::vector<std::string_view> lines = split(*text, '\n');
    return std::ranges::find(lines, std::to_string(pid)) != lines.end();
}

// A number from cgroup.procs may be another process by the time a signal is sent: the descriptor
// holds one process, and that one is asked where it is.
bool signal_all(const CgroupPlace& place, const std::string& folder, pid_t main,
                std::initializer_list<int> signals) {
    bool had_main = false;
    for (const std::string& inner : cgroups_below(folder)) {
        had_main = signal_all(place, inner, main, signals) || had_main;
    }
    const auto text = read_file(folder + "/cgroup.procs", procs_bytes);
    if (!text) return had_main;
    for (const std::string_view line : split(*text, '\n')) {
        pid_t pid = 0;  // stays 0 for one of another pid namespace: only cgroup.kill gets those
        std::from_chars(line.data(), line.data() + line.size(), pid);
        if (pid <= 1) continue;
        const UniqueFd process = open_process(pid);
        if (!process || !is_in_cgroup(pid, place.path)) continue;
        for (const int signal : signals) signal_process(process, signal);
        had_main = had_main || pid == main;
    }
    return had_main;
}

// cgroup.kill gets those too that are being forked; Linux has it since 5.14.
bool kill_tree(const std::string& folder) {
    return write_file(folder + "/cgroup.kill", "1") == 0;
}

}  // namespace

std::optional<CgroupPlace> find_cgroup(std::string_view mountinfo, std::string_view cgroup) {
    std::optional<std::string> path;
    for (const std::string_view line : split(cgroup, '\n')) {
        if (line.starts_with("0::/")) path = std::string(line.substr(3));
    }
    // Below "/.." it is outside of the cgroup namespace, and deleted ones say so at their end.
    if (!path || is_below(*path, "/..") || path->ends_with(" (deleted)")) return std::nullopt;
    for (const std::string_view line : split(mountinfo, '\n')) {
        const std::size_t separator = line.find(" - ");
        if (separator == std::string_view::npos) continue;
        if (!line.substr(separator + 3).starts_with("cgroup2 ")) continue;
        const std::vector<std::string_view> fields = split(line.substr(0, separator), ' ');
        constexpr std::size_t root_field = 3;
        constexpr std::size_t mount_field = 4;
        if (fields.size() <= mount_field) continue;
        const std::string root = unescape(fields[root_field]);
        const std::string_view below_root = root == "/" ? std::string_view() : root;
        if (!is_below(*path, below_root)) continue;
        std::string folder = unescape(fields[mount_field]) + path->substr(below_root.size());
        while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
        return CgroupPlace{folder, *path == "/" ? std::string() : *path};
    }
    return std::nullopt;
}

std::string jobs_folder_name(std::string_view state_folder) {
    // FNV-1a: the same in every version and on every machine, and no secret.
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char byte : state_folder) {
        hash ^= static_cast<unsigned char>(byte);
        hash *= 0x100000001b3ULL;
    }
    std::array<char, 17> digits{};
    std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(hash));
    return std::string(jobs_prefix) + std::string(digits.data(), 12);
}

Result<CgroupPlace> make_jobs_cgroup(std::string_view state_folder) {
    const auto mountinfo = read_file("/proc/self/mountinfo", mountinfo_bytes);
    const auto cgroup = read_file("/proc/self/cgroup", small_file_bytes);
    if (!mountinfo || !cgroup) return fail("/proc/self/mountinfo or cgroup can't be read");
    std::optional<CgroupPlace> place = find_cgroup(*mountinfo, *cgroup);
    if (!place) return fail("no cgroup2 file system with the own cgroup is mounted");
    // The folder was put together from two texts, and nobody promises that they fit (bind mounts).
    if (!lists_process(place->folder, getpid())) {
        return fail(place->folder + " is not the own cgroup");
    }
    if (access((place->folder + "/cgroup.procs").c_str(), W_OK) < 0) {
        return fail(place->folder + "/cgroup.procs: " + std::strerror(errno));
    }
    const std::string name = jobs_folder_name(state_folder);
    place->folder += "/" + name;
    place->path += "/" + name;
    if (mkdir(place->folder.c_str(), 0755) < 0 && errno != EEXIST) {
        return fail(place->folder + ": " + std::strerror(errno));
    }
    // Below a threaded cgroup a new one is "domain invalid", and nobody can join it.
    const auto type = read_file(place->folder + "/cgroup.type", small_file_bytes);
    if (!type || *type != "domain\n" ||
        access((place->folder + "/cgroup.procs").c_str(), W_OK) < 0) {
        rmdir(place->folder.c_str());
        return fail(place->folder + " can't hold processes");
    }
    return *place;
}

bool is_job_cgroup(std::string_view folder, std::string_view state_folder, const JobId& job) {
    const std::string suffix = "/" + jobs_folder_name(state_folder) + "/" + job.text();
    const std::vector<std::string_view> parts = split(folder, '/');
    return folder.starts_with("/") && folder.ends_with(suffix) &&
           std::ranges::find(parts, "..") == parts.end();
}

bool end_cgroup(const std::string& folder, std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    const UniqueFd events(open((folder + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
    if (!events) return errno == ENOENT;
    while (true) {
        const bool at_once = kill_tree(folder);
        // What its path is for /proc is not known here: any process that the folder lists.
        if (!at_once) signal_all(CgroupPlace{folder, ""}, folder, -1, {SIGKILL});
        // A change after this read wakes the poll (kernfs).
        std::array<char, 256> text{};
        const ssize_t got = pread(events.get(), text.data(), text.size(), 0);
        if (got < 0 && errno != EINTR) return remove_tree(folder);
        if (std::string_view(text.data()).find("populated 0") != std::string_view::npos) {
            return remove_tree(folder);
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) return false;
        constexpr int again_ms = 50;
        pollfd wait{events.get(), POLLPRI, 0};
        poll(&wait, 1, at_once ? static_cast<int>(left.count()) : again_ms);
    }
}

Cgroup::~Cgroup() {
    if (!removed_) remove_tree(place_.folder);
}

Result<std::unique_ptr<Cgroup>> Cgroup::make(const CgroupPlace& jobs, const JobId& job) {
    CgroupPlace place{jobs.folder + "/" + job.text(), jobs.path + "/" + job.text()};
    int made = mkdir(place.folder.c_str(), 0755);
    if (made < 0 && errno == ENOENT) {
        // An administrator may have removed the empty one that all are in.
        mkdir(jobs.folder.c_str(), 0755);
        made = mkdir(place.folder.c_str(), 0755);
    }
    if (made < 0) return fail("cgroup " + place.folder + ": " + std::strerror(errno));
    return std::make_unique<Cgroup>(std::move(place));
}

void Cgroup::terminate(int signal) {
    const bool had_main = signal_all(place_, place_.folder, main_, {signal, SIGCONT});
    // A main process that runs as root may have moved itself elsewhere. It is ours: not reaped yet,
    // or (then the number is no longer set) gone.
    if (!had_main && main_ > 1) {
        ::kill(main_, signal);
        ::kill(main_, SIGCONT);
    }
}

bool Cgroup::kill() {
    if (main_ > 1) ::kill(main_, SIGKILL);
    if (kill_tree(place_.folder)) return true;
    signal_all(place_, place_.folder, main_, {SIGKILL});
    return false;
}

bool Cgroup::empty() const {
    return !is_populated(place_.folder);
}

std::size_t Cgroup::count() const {
    return count_processes(place_.folder, main_);
}

std::string Cgroup::watched_file() const {
    return place_.folder + "/cgroup.events";
}

void Cgroup::remove() {
    removed_ = remove_tree(place_.folder);
}

}  // namespace postern::jobs
