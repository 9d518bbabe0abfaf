#include "ctl/wire/connect_error.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/utf8.h"

namespace postern::ctl {
namespace {

using Where = ConnectFailure::Where;

std::string octal(mode_t mode) {
    std::array<char, 8> text{};
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): std::format needs g++ 13
    std::snprintf(text.data(), text.size(), "%04o", mode & 07777U);
    return text.data();
}

std::string owner_text(const ConnectFailure& f) {
    return f.owner_name.empty() ? "uid " + std::to_string(f.owner) : f.owner_name;
}
std::string group_text(const ConnectFailure& f) {
    return f.group_name.empty() ? "gid " + std::to_string(f.group) : in_quotes(f.group_name);
}

// Who passes, from owner, group and mode. The kernel looks at one class of bits only (owner, else
// group, else others), and lets uid 0 through.
struct Door {
    mode_t owner_bit;
    mode_t group_bit;
    mode_t other_bit;
    const char* verb;   // "connect"
    const char* needs;  // the permission, in words
};
constexpr Door socket_door{S_IWUSR, S_IWGRP, S_IWOTH, "connect", "write"};
constexpr Door folder_door{S_IXUSR, S_IXGRP, S_IXOTH, "enter", "search (x)"};

std::string who_passes(const ConnectFailure& f, const Door& door) {
    std::string who = "root";
    if (f.owner != 0 && (f.mode & door.owner_bit) != 0) who = owner_text(f) + " and root";
    // Group root is no group to send people to.
    if ((f.mode & door.group_bit) == 0 || f.group == 0) return who;
    if (f.owner != 0 && (f.mode & door.owner_bit) != 0) who = owner_text(f) + ", root";
    return who + " and members of the group " + group_text(f);
}

std::string what_helps(const ConnectFailure& f, const Door& door) {
    const bool group_helps = (f.mode & door.group_bit) != 0 && f.group != 0 && f.uid != f.owner;
    if (!group_helps || f.group_name.empty()) return {};
    if (f.will_be_in_group) {
        return "; you became a member after this login: log in again";
    }
    const auto user = f.user_name.empty() ? "YOUR-USER" : printable(f.user_name);
    return "; ask the administrator: usermod -aG " + printable(f.group_name) + " " + user +
           ", then log in again (for a service: SupplementaryGroups=" + printable(f.group_name) +
           " in its unit)";
}

// Whether the mode alone would let the caller through: then something else denies.
bool mode_passes(const ConnectFailure& f, const Door& door) {
    if (f.uid == 0) return true;
    if (f.uid == f.owner) return (f.mode & door.owner_bit) != 0;
    if (f.in_group) return (f.mode & door.group_bit) != 0;
    return (f.mode & door.other_bit) != 0;
}

std::string denied(const ConnectFailure& f) {
    const bool folder = f.where == Where::folder;
    const auto& door = folder ? folder_door : socket_door;
    const auto mode = "mode " + octal(f.mode);
    const auto object = folder ? " the directory " + printable(f.place) : std::string{};
    if (mode_passes(f, door)) {
        return "no permission, although " + mode + (folder ? " of" + object : std::string{}) +
               " would allow it: an access control list or a security module (SELinux, AppArmor) "
               "denies it";
    }
    const bool group_denied = f.in_group && (f.mode & door.other_bit) != 0;
    if (f.uid == f.owner || group_denied) {
        return "no permission: " + mode + (folder ? " of" + object : std::string{}) + " denies " +
               (group_denied ? "members of its group" : "its own owner") + "; " + door.verb +
               "ing needs " + door.needs + " permission";
    }
    auto line =
        "no permission: only " + who_passes(f, door) + " may " + door.verb + object + " (" + mode;
    // A mode like 0755 looks open, and is not.
    const bool looks_open = !folder && (f.mode & (S_IROTH | S_IXOTH)) != 0;
    if (looks_open) line += std::string(": ") + door.verb + "ing needs write permission";
    if (f.administrator && f.owner == 0)
        return line + "); it is for the administrator: run it as root";
    return line + ")" + what_helps(f, door);
}

// Its restart makes the socket again, and takes the daemon along (PartOf=). "start" would fail
// while the daemon runs.
std::string socket_unit(const ConnectFailure& f) {
    if (f.administrator) return "posternd-admin.socket";
    return f.datagram ? "posternd-datagram.socket" : "posternd.socket";
}

std::string missing(const ConnectFailure& f) {
    std::string line = "no such socket";
    if (f.where == Where::missing) line += ": there is no directory " + printable(f.place);
    if (f.where == Where::dangling) return line + ": the symbolic link points to nothing";
    if (f.system_socket) {
        return line +
               "; it is stopped or not enabled, or its file was removed: systemctl restart " +
               socket_unit(f) + ", and for each boot systemctl enable " + socket_unit(f) +
               " (another socket: --socket PATH, or --user for a daemon of your own)";
    }
    if (f.user_socket) {
        return line +
               "; your own daemon is not running, or its socket file was removed: systemctl --user "
               "restart " +
               socket_unit(f) + ", or start one with posternd (the system's own: without --user)";
    }
    return line + "; is the daemon running, and is this the path that it listens on?";
}

std::string refused(const ConnectFailure& f) {
    if (f.where == Where::not_a_socket) return "not a socket but " + f.kind;
    std::string line =
        "no program is listening there: the daemon that created this socket has exited";
    if (f.system_socket) line += "; systemctl restart " + socket_unit(f);
    if (f.user_socket) line += "; systemctl --user restart " + socket_unit(f);
    return line;
}

std::string reason(const ConnectFailure& f, std::chrono::milliseconds patience) {
    switch (f.error) {
        case ENOENT:
            return missing(f);
        case ECONNREFUSED:
            return refused(f);
        case EACCES:
        case EPERM:
            if (f.where == Where::folder || f.where == Where::socket) return denied(f);
            return "no permission: an access control list or a security module (SELinux, AppArmor) "
                   "denies it";
        case EPROTOTYPE:
            if (f.datagram) {
                return "wrong type of socket: it is a stream socket; "
                       "--datagram and notify need the datagram socket";
            }
            return "wrong type of socket: it is a datagram or seqpacket socket, posternctl needs a "
                   "stream socket";
        case ENOTDIR:
            if (f.where == Where::not_a_folder) return printable(f.place) + " is not a directory";
            break;
        case EAGAIN:
        case ETIMEDOUT:
            return std::string("the daemon accepts no ") +
                   (f.datagram ? "datagrams" : "connections") + ": its queue stayed full for " +
                   std::to_string(patience.count() / 1000) + " s";
        default:
            break;
    }
    return (f.datagram ? "can't be sent to: " : "can't connect: ") +
           std::string(std::strerror(f.error));
}

}  // namespace

std::string connect_error(const ConnectFailure& failure, std::chrono::milliseconds patience) {
    return printable(failure.path) + ": " + reason(failure, patience);
}

}  // namespace postern::ctl
