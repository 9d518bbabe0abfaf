#include "daemon/policy/file/closed_socket.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <optional>

#include "base/utf8.h"
#include "host/accounts.h"

namespace postern::policy {
namespace {

constexpr std::size_t most_names = 5;

// "carol, dave and 3 more"
std::string first_names(const std::vector<std::string>& names) {
    std::string text;
    const std::size_t shown = std::min(names.size(), most_names);
    for (std::size_t i = 0; i < shown; ++i) {
        if (i > 0) text += ", ";
        text += printable(names[i]);
    }
    if (shown < names.size()) text += " and " + std::to_string(names.size() - shown) + " more";
    return text;
}

std::string octal_text(mode_t mode) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode));
    return text.data();
}

}  // namespace

std::vector<ClosedSocket> closed_sockets(const std::vector<std::string>& paths) {
    std::vector<ClosedSocket> sockets;
    for (const std::string& path : paths) {
        struct stat status{};
        if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) continue;
        const bool has_list = ::lgetxattr(path.c_str(), "system.posix_acl_access", nullptr, 0) > 0;
        if (has_list || (status.st_mode & S_IWOTH) != 0) return {};
        sockets.push_back({path, status.st_mode & 07777U, status.st_uid, status.st_gid,
                           (status.st_mode & S_IWUSR) != 0, (status.st_mode & S_IWGRP) != 0});
    }
    return sockets;
}

std::string kept_out_text(const ClosedSocket& socket, const std::vector<std::string>& names) {
    const auto found = find_group_by_id(socket.group);
    const std::optional<Group> group = found ? *found : std::nullopt;
    const std::string name = group ? group->name : std::string();
    // Group root is no group to send people to.
    const bool group_helps = socket.group_may && socket.group != 0 && !name.empty();
    const std::string socket_text =
        printable(socket.path) + " (mode " + octal_text(socket.mode) + "): " + first_names(names);
    if (!group_helps) {
        return "members can't open " + socket_text +
               "; give the socket a group that they are in, with SocketGroup= in posternd.socket "
               "or "
               "\"socketGroup\" in posternd.json";
    }
    return "members who are not in the group " + in_quotes(name) + " can't open " + socket_text +
           "; run " + (names.size() > 1 ? "for each: " : "") + "usermod -aG " + printable(name) +
           ' ' + printable(names.front());
}

}  // namespace postern::policy
