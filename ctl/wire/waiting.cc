#include "ctl/wire/waiting.h"

#include <algorithm>

#include "base/utf8.h"
#include "ctl/text/output.h"

namespace postern::ctl {

std::string waiting_text(const std::string& path, const SocketEnvironment& environment) {
    const std::string& runtime = environment.xdg_runtime_dir;
    if (path == system_socket || path == system_datagram_socket || path == system_admin_socket) {
        return "waiting for the daemon; the administrator sees why it does not answer with: "
               "journalctl -u posternd.service";
    }
    if (!runtime.empty() &&
        (path == runtime + user_socket || path == runtime + user_datagram_socket ||
         path == runtime + user_admin_socket)) {
        return "waiting for the daemon; journalctl --user -u posternd.service shows why it does "
               "not answer";
    }
    return "waiting for the daemon at " + printable(path) +
           "; its log shows why it does not answer";
}

int Silence::bound(int timeout, const std::string& path) {
    static bool said = false;
    if (said) return timeout;
    const auto now = std::chrono::steady_clock::now();
    if (!since_) since_ = now;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*since_ + patience - now);
    if (left.count() <= 0) {
        said = true;
        complain(waiting_text(path, socket_environment()));
        return timeout;
    }
    const int most = static_cast<int>(left.count());
    return timeout < 0 ? most : std::min(timeout, most);
}

}  // namespace postern::ctl
