#include "daemon/guard/config/supervision.h"

#include <sys/prctl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdlib>

#include "base/utf8.h"

namespace postern {

Result<Supervision> parse_supervision(const std::string& text) {
    if (text == "auto") return Supervision::automatic;
    if (text == "systemd") return Supervision::systemd;
    if (text == "direct") return Supervision::direct;
    return fail(in_quotes(text) + " is not known; use auto, systemd or direct");
}

Result<std::string> systemd_socket(Supervision wanted, uid_t uid) {
    std::string socket;
    if (uid == 0) {
        socket = "/run/systemd/private";
    } else if (const char* runtime = std::getenv("XDG_RUNTIME_DIR");
               runtime != nullptr && *runtime == '/') {
        socket = std::string(runtime) + "/systemd/private";
    }
    // In a container /run/systemd may be the host's, mounted for other reasons: sd_booted(3) looks
    // for a systemd that runs.
    const bool runs = !socket.empty() && ::sd_booted() > 0 && ::access(socket.c_str(), F_OK) == 0;
    if (wanted != Supervision::direct && runs) return socket;
    if (wanted == Supervision::systemd) {
        return fail("jobs are to be supervised by systemd, but systemd was not found" +
                    (socket.empty() ? "; set XDG_RUNTIME_DIR" : " at " + printable(socket)) +
                    "; use --jobs direct where there is no systemd");
    }
    if (uid == 0 && ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
        return fail(
            "jobs that the daemon starts itself would inherit its sandbox "
            "(NoNewPrivileges= is set); let systemd supervise them with --jobs systemd");
    }
    return std::string();
}

}  // namespace postern
