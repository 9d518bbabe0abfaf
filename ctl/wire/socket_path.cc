#include "ctl/wire/socket_path.h"

#include <cstdlib>

#include "base/utf8.h"
#include "host/unix_address.h"

namespace postern::ctl {
namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): there is one thread
    return value == nullptr ? std::string{} : std::string(value);
}

// One of the daemon's sockets: where it is, and the variable that may say otherwise.
struct Socket {
    const char* system;
    const char* user;
    const char* variable;  // nullptr: none may
    std::string SocketEnvironment::* value;
};
constexpr Socket stream{system_socket, user_socket, "POSTERN_SOCKET",
                        &SocketEnvironment::postern_socket};
constexpr Socket datagram{system_datagram_socket, user_datagram_socket, "POSTERN_DATAGRAM",
                          &SocketEnvironment::postern_datagram};
constexpr Socket admin{system_admin_socket, user_admin_socket, nullptr, nullptr};

}  // namespace

SocketEnvironment socket_environment() {
    return {variable("POSTERN_SOCKET"), variable("POSTERN_DATAGRAM"), variable("XDG_RUNTIME_DIR"),
            variable("TMPDIR")};
}

Result<std::string> socket_path(const SocketChoice& choice, const SocketEnvironment& environment) {
    const auto& socket = choice.administrator ? admin : choice.datagram ? datagram : stream;
    std::string path = socket.system;
    std::string origin;
    if (choice.path) {
        path = *choice.path;
        origin = "--socket";
    } else if (choice.user) {
        if (environment.xdg_runtime_dir.empty()) {
            return fail(
                "--user: XDG_RUNTIME_DIR is not set, so it is not known where "
                "your own daemon listens; name its socket with --socket PATH");
        }
        path = environment.xdg_runtime_dir + socket.user;
        origin = "--user (XDG_RUNTIME_DIR)";
    } else if (socket.variable != nullptr && !(environment.*socket.value).empty()) {
        path = environment.*socket.value;
        origin = socket.variable;
    }
    if (path.empty()) return fail(origin + ": the path of the socket is empty");
    if (path.front() != '/') {
        return fail(origin + ": " + printable(path) +
                    ": not an absolute path; the path of a socket begins with /");
    }
    if (path.size() > longest_socket_path) {
        return fail(origin + ": " + printable(path) + ": too long: " + std::to_string(path.size()) +
                    " bytes, but the path of a Unix socket has at most " +
                    std::to_string(longest_socket_path));
    }
    return path;
}

std::string administrator_socket_of(const std::string& path, const SocketEnvironment& environment) {
    if (path == stream.system) return admin.system;
    const std::string& runtime = environment.xdg_runtime_dir;
    return !runtime.empty() && path == runtime + stream.user ? runtime + admin.user : "";
}

}  // namespace postern::ctl
