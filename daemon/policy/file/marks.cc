#include "daemon/policy/file/marks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/limits.h"
#include "daemon/policy/file/file_names.h"
#include "host/directory.h"

namespace postern::policy {
namespace {

constexpr std::string_view file_suffix = ".json";

// f_type of statfs(2), as its manual page has them, of those whose files lie with another machine
// or another process.
constexpr std::array<std::uint32_t, 14> remote_types = {
    0x6969,      // NFS
    0x517B,      // SMB
    0xFE534D42,  // SMB2
    0xFF534D42,  // CIFS
    0x65735546,  // FUSE, virtiofs
    0x01021997,  // 9P
    0x00C36400,  // Ceph
    0x5346414F,  // AFS
    0x6B414653,  // AFS of the kernel
    0x73757245,  // Coda
    0x7461636F,  // OCFS2
    0x01161970,  // GFS2
    0x0BD00BD0,  // Lustre
    0x786F4256,  // VirtualBox
};

// What does not say, though it is there, is one too: FUSE hands on what its process answers (ENOSYS
// where that does not know the question), and NFS that a file is stale.
bool is_remote(const std::string& path) {
    struct statfs status{};
    if (statfs(path.c_str(), &status) != 0) return errno != ENOENT && errno != ENOTDIR;
    const auto type = static_cast<std::uint32_t>(status.f_type);
    return std::ranges::find(remote_types, type) != remote_types.end();
}

std::string action_file_in(const std::string& directory, std::string_view action) {
    std::string path = directory;
    path += '/';
    path += action;
    path += file_suffix;
    return path;
}

// Whether a file can be named so, and an action's be looked for.
bool could_be_named(std::string_view action) {
    return !action.empty() && action.size() <= limits::action_name_bytes &&
           action.find('/') == std::string_view::npos &&
           action.find('\0') == std::string_view::npos;
}

void look_at_files(DirectoryMarks& marks) {
    const Directory directory(opendir(marks.path.c_str()));
    while (directory) {
        const dirent* const entry = readdir(directory.get());
        if (entry == nullptr) break;
        std::string name = static_cast<const char*>(entry->d_name);
        if (kind_of_name(name) != NameKind::action) continue;
        name.resize(name.size() - file_suffix.size());
        const std::string path = action_file_in(marks.path, name);
        const Mark mark = mark_of(path);
        if (mark.device != marks.mark.device && is_remote(path)) marks.remote_files.insert(name);
        marks.files.emplace(std::move(name), mark);
    }
}

}  // namespace

Mark DirectoryMarks::of(std::string_view action) const {
    const auto found = files.find(action);
    return found == files.end() ? Mark() : found->second;
}

Mark mark_of(const std::string& path, bool cached) {
    struct statx status{};
    const int flags = AT_NO_AUTOMOUNT | (cached ? AT_STATX_DONT_SYNC : AT_STATX_SYNC_AS_STAT);
    Mark mark;
    mark.error = 0;
    if (statx(AT_FDCWD, path.c_str(), flags, STATX_BASIC_STATS, &status) != 0) {
        mark.error = errno;
        return mark;
    }
    mark.device = (std::uint64_t{status.stx_dev_major} << 32U) | status.stx_dev_minor;
    mark.inode = status.stx_ino;
    mark.size = status.stx_size;
    mark.modified = {status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec};
    mark.changed = {status.stx_ctime.tv_sec, status.stx_ctime.tv_nsec};
    return mark;
}

std::optional<Mark> local_mark_of(const std::string& path) {
    struct statfs status{};
    std::string there = path;
    while (there.size() > 1 && statfs(there.c_str(), &status) != 0 &&
           (errno == ENOENT || errno == ENOTDIR)) {
        there.resize(std::max<std::size_t>(there.rfind('/'), 1));
    }
    if (is_remote(there)) return std::nullopt;
    return mark_of(path);
}

Marks look_at(const std::vector<std::string>& directories) {
    Marks all;
    for (const std::string& path : directories) {
        DirectoryMarks marks;
        marks.path = path;
        marks.mark = mark_of(path);
        marks.remote = marks.mark.is_there() && is_remote(path);
        if (marks.mark.is_there()) look_at_files(marks);
        all.push_back(std::move(marks));
    }
    return all;
}

bool are_same(const Marks& marks) {
    return std::ranges::all_of(marks, [](const DirectoryMarks& one) {
        return one.remote || mark_of(one.path, true) == one.mark;
    });
}

// The directories first: what lies in one that is another file system by now is not asked.
bool are_same(const Marks& marks, std::string_view action) {
    if (!are_same(marks)) return false;
    if (!could_be_named(action)) return true;
    return std::ranges::all_of(marks, [action](const DirectoryMarks& one) {
        return one.remote || one.remote_files.contains(action) ||
               mark_of(action_file_in(one.path, action), true) == one.of(action);
    });
}

bool any_remote(const Marks& marks) {
    return std::ranges::any_of(
        marks, [](const DirectoryMarks& one) { return one.remote || !one.remote_files.empty(); });
}

}  // namespace postern::policy
