#include "ctl/socket_path.h"

#include <sys/un.h>

#include <cstdlib>

#include "base/utf8.h"

namespace postern::ctl {
namespace {

// The terminating NUL needs a byte as well (unix(7)).
constexpr std::size_t longest_path = sizeof(sockaddr_un::sun_path) - 1;

std::string variable(const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): there is one thread
    return value == nullptr ? std::string{} : std::string(value);
}

}  // namespace

SocketEnvironment socket_environment() {
    return {variable("POSTERN_SOCKET"), variable("XDG_RUNTIME_DIR")};
}

Result<std::string> socket_path(const SocketChoice& choice, const SocketEnvironment& environment) {
    std::string path = choice.administrator ? system_admin_socket : system_socket;
    std::string origin;
    if (choice.path) {
        path = *choice.path;
        origin = "--socket";
    } else if (choice.user) {
        if (environment.xdg_runtime_dir.empty()) {
            return fail(
                "--user: XDG_RUNTIME_DIR is not set, so where your own guard listens is "
                "not known; name its socket with --socket PATH");
        }
        path = environment.xdg_runtime_dir +
               (choice.administrator ? "/postern-admin/admin.sock" : "/postern/postern.sock");
        origin = "--user (XDG_RUNTIME_DIR)";
    } else if (!choice.administrator && !environment.postern_socket.empty()) {
        path = environment.postern_socket;
        origin = "POSTERN_SOCKET";
    }
    if (path.empty()) return fail(origin + ": the path of the socket is empty");
    if (path.front() != '/') {
        return fail(origin + ": " + printable(path) +
                    ": not an absolute path; the path of a socket begins with /");
    }
    if (path.size() > longest_path) {
        return fail(origin + ": " + printable(path) + ": too long: " + std::to_string(path.size()) +
                    " bytes, the path of a Unix socket has at most " +
                    std::to_string(longest_path));
    }
    return path;
}

}  // namespace postern::ctl
