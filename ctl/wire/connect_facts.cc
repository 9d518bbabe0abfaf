#include "ctl/wire/connect_facts.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ctl/text/accounts.h"
#include "ctl/wire/socket_path.h"

namespace postern::ctl {
namespace {

using Where = ConnectFailure::Where;

const char* kind_of(mode_t mode) {
    switch (mode & S_IFMT) {
        case S_IFREG:
            return "a regular file";
        case S_IFDIR:
            return "a directory";
        case S_IFIFO:
            return "a pipe";
        default:
            return "a device";
    }
}

// "/", "/run", "/run/postern" of "/run/postern/postern.sock".
std::vector<std::string> folders_of(const std::string& path) {
    std::vector<std::string> folders = {"/"};
    for (auto end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
        if (path[end - 1] != '/') folders.push_back(path.substr(0, end));
    }
    return folders;
}

// The first folder that stands in the way. stat(2) itself needs search permission for what is
// above, so the folders are taken from the root on, and the first failure is the true one.
bool find_folder(ConnectFailure& f, struct stat& status) {
    for (const auto& folder : folders_of(f.path)) {
        if (stat(folder.c_str(), &status) != 0) {
            if (errno == ENOENT) f.where = Where::missing;
            f.place = folder;
            return true;
        }
        if (!S_ISDIR(status.st_mode)) {
            f.where = Where::not_a_folder;
            f.place = folder;
            return true;
        }
        if (faccessat(AT_FDCWD, folder.c_str(), X_OK, AT_EACCESS) != 0 && errno == EACCES) {
            f.where = Where::folder;
            f.place = folder;
            return true;
        }
    }
    return false;
}

void find_socket(ConnectFailure& f, struct stat& status) {
    if (stat(f.path.c_str(), &status) != 0) {
        struct stat link{};
        const bool gone = errno == ENOENT;
        if (gone && lstat(f.path.c_str(), &link) == 0) f.where = Where::dangling;
        return;
    }
    if (S_ISSOCK(status.st_mode)) {
        f.where = Where::socket;
    } else {
        f.where = Where::not_a_socket;
        f.kind = kind_of(status.st_mode);
    }
}

bool has_group(gid_t group) {
    if (getegid() == group) return true;
    const int count = getgroups(0, nullptr);
    if (count <= 0) return false;
    std::vector<gid_t> groups(static_cast<std::size_t>(count));
    const int got = getgroups(count, groups.data());
    if (got < 0) return false;
    groups.resize(static_cast<std::size_t>(got));
    return std::ranges::find(groups, group) != groups.end();
}

// Whether the group's list of members names the user: what a new login would bring.
bool listed_in(const std::string& user, gid_t group) {
    const auto members = group_members(group);
    return std::ranges::find(members, user) != members.end();
}

}  // namespace

ConnectFailure look_at(const std::string& path, int error) {
    ConnectFailure f;
    f.path = path;
    f.error = error;
    const auto runtime = socket_environment().xdg_runtime_dir;
    const auto is_users = [&](const char* socket) {
        return !runtime.empty() && path == runtime + socket;
    };
    f.administrator = path == system_admin_socket || is_users(user_admin_socket);
    f.system_socket =
        path == system_socket || path == system_datagram_socket || path == system_admin_socket;
    f.user_socket =
        is_users(user_socket) || is_users(user_datagram_socket) || is_users(user_admin_socket);
    f.uid = geteuid();

    struct stat status{};
    if (!find_folder(f, status)) find_socket(f, status);
    if (f.where != Where::folder && f.where != Where::socket) return f;
    if (error != EACCES && error != EPERM) return f;

    f.mode = status.st_mode & 07777U;
    f.owner = status.st_uid;
    f.group = status.st_gid;
    f.owner_name = user_name(f.owner);
    f.group_name = group_name(f.group);
    f.user_name = user_name(f.uid);
    f.in_group = has_group(f.group);
    f.will_be_in_group = !f.in_group && !f.user_name.empty() && listed_in(f.user_name, f.group);
    return f;
}

}  // namespace postern::ctl
