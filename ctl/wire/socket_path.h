// Which socket a command line means. Exactly one is tried: a silent second choice would talk to
// another daemon than the one that was meant.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace postern::ctl {

inline constexpr const char* system_socket = "/run/postern/postern.sock";
inline constexpr const char* system_datagram_socket = "/run/postern/postern.dgram";
inline constexpr const char* system_admin_socket = "/run/postern-admin/admin.sock";
// Below XDG_RUNTIME_DIR.
inline constexpr const char* user_socket = "/postern/postern.sock";
inline constexpr const char* user_datagram_socket = "/postern/postern.dgram";
inline constexpr const char* user_admin_socket = "/postern-admin/admin.sock";

struct SocketChoice {
    std::optional<std::string> path;  // --socket
    bool user = false;                // --user; never together with a path
    bool administrator = false;       // the verb is the administrator's
    bool datagram = false;            // the one for packets; never the administrator's
};

// The variables that count: unset and empty are the same.
struct SocketEnvironment {
    std::string postern_socket;    // POSTERN_SOCKET
    std::string postern_datagram;  // POSTERN_DATAGRAM
    std::string xdg_runtime_dir;   // XDG_RUNTIME_DIR
    std::string tmpdir;            // TMPDIR
};
SocketEnvironment socket_environment();

// The option, else the environment (for callers' verbs), else the system's own. The error is one
// line.
Result<std::string> socket_path(const SocketChoice& choice, const SocketEnvironment& environment);

// Where the administrator's socket of the daemon is that has this one: of the system's and of the
// user's own it is known; else empty.
std::string administrator_socket_of(const std::string& path, const SocketEnvironment& environment);

}  // namespace postern::ctl
