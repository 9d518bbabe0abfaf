#include "daemon/policy/file/closed_socket.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string_view>

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

// What to do where no group helps.
constexpr std::string_view other_group =
    ", with SocketGroup= in posternd.socket, or \"socketGroup\" in posternd.json where posternd "
    "makes its sockets itself";

// The group that may open it; empty: none, or root's, to which people are not sent.
std::string helping_group(const ClosedSocket& socket) {
    if (!socket.group_may || socket.group == 0) return {};
    const auto found = find_group_by_id(socket.group);
    const std::optional<Group> group = found ? *found : std::nullopt;
    return group ? group->name : std::string();
}

// PATH (mode 0660)
std::string socket_and_mode(const ClosedSocket& socket) {
    return printable(socket.path) + " (mode " + octal_text(socket.mode) + ')';
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

std::string closed_to_most_text(const ClosedSocket& socket) {
    const std::string group = helping_group(socket);
    const std::string who =
        group.empty() ? "not every user" : "only members of the group " + in_quotes(group);
    return who + " can open " + socket_and_mode(socket) +
           "; if really every user is to, set SocketMode=0666 in posternd.socket, or "
           "\"socketMode\": \"0666\" in posternd.json where posternd makes its sockets itself";
}

std::string user_kept_out_text(const ClosedSocket& socket, const std::string& user) {
    const std::string group = helping_group(socket);
    const std::string who = "the user " + in_quotes(user);
    if (group.empty()) {
        return who + " can't open " + socket_and_mode(socket) +
               "; give the socket a group that this user is in" + std::string(other_group);
    }
    return who + " is not in the group " + in_quotes(group) + " and can't open " +
           socket_and_mode(socket) + "; run usermod -aG " + printable(group) + ' ' +
           printable(user) + ", or add SupplementaryGroups=" + printable(group) +
           " to the unit of its service";
}

std::string kept_out_text(const ClosedSocket& socket, const std::vector<std::string>& names) {
    const std::string group = helping_group(socket);
    const std::string socket_text = socket_and_mode(socket) + ": " + first_names(names);
    if (group.empty()) {
        return "members can't open " + socket_text + "; give the socket a group that they are in" +
               std::string(other_group);
    }
    return "members who are not in the group " + in_quotes(group) + " can't open " + socket_text +
           "; run " + (names.size() > 1 ? "for each: " : "") + "usermod -aG " + printable(group) +
           ' ' + printable(names.front());
}

}  // namespace postern::policy
