#include "daemon/guard/open_sockets.h"

#include <grp.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/utf8.h"

namespace postern {
namespace {

constexpr std::string_view there_is_none = "no socket to listen on";

// What is to be bound.
struct ToBind {
    std::vector<std::string> streams;
    std::vector<std::string> datagrams;
    std::optional<std::string> administrator;
    bool makes_folders = false;

    [[nodiscard]] bool nothing() const {
        return streams.empty() && datagrams.empty() && !administrator;
    }
};

Result<gid_t> group_id(const std::string& name) {
    const group* entry = ::getgrnam(name.c_str());
    if (entry == nullptr) {
        return fail("socket group \"" + printable(name) +
                    "\" does not exist; create it: groupadd --system " + printable(name));
    }
    return entry->gr_gid;
}

// As a service: then its sockets are those of its socket units, and where none was passed they
// were stopped.
bool is_a_service() {
    const char* const process = std::getenv("SYSTEMD_EXEC_PID");
    return process != nullptr && process == std::to_string(::getpid());
}

// An ordinary user's own; none where the user has no directory for such files.
void add_default_paths(ToBind& wanted) {
    const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
    if (runtime == nullptr || *runtime != '/') return;
    const std::string folder = runtime;
    wanted.makes_folders = true;
    wanted.streams.push_back(folder + "/postern/postern.sock");
    wanted.datagrams.push_back(folder + "/postern/postern.dgram");
    if (!wanted.administrator) wanted.administrator = folder + "/postern-admin/admin.sock";
}

Status bind_all(const std::vector<std::string>& paths, BindOptions options,
                std::vector<Listener>& listeners) {
    for (const std::string& path : paths) {
        options.path = path;
        POSTERN_TRY(auto listener, bind_listener(options));
        listeners.push_back(std::move(listener));
    }
    return {};
}

}  // namespace

Result<OpenedSockets> open_sockets(const Configuration& configuration, uid_t uid) {
    OpenedSockets opened;
    std::vector<Listener>& listeners = opened.listeners;
    POSTERN_TRY(listeners, passed_listeners());
    ToBind wanted{configuration.sockets, configuration.datagrams, configuration.admin_socket,
                  false};
    if (listeners.empty() && uid != 0 && wanted.streams.empty() && wanted.datagrams.empty() &&
        !is_a_service()) {
        add_default_paths(wanted);
    }
    opened.all_passed = wanted.nothing();

    BindOptions options;
    options.mode = configuration.socket_mode;
    options.makes_folder = wanted.makes_folders;
    if (configuration.socket_group) {
        POSTERN_TRY(options.group, group_id(*configuration.socket_group));
    }
    POSTERN_TRY(bind_all(wanted.streams, options, listeners));
    options.datagram = true;
    POSTERN_TRY(bind_all(wanted.datagrams, options, listeners));
    // The administrator's alone is enough where systemd passed it: the others were stopped.
    if (listeners.empty()) {
        return fail(std::string(there_is_none) + ": start it through its socket unit (" +
                    std::string(uid == 0 ? "systemctl" : "systemctl --user") +
                    " start posternd.socket), or give --socket PATH");
    }
    if (wanted.administrator) {
        POSTERN_TRY(auto listener, bind_listener({*wanted.administrator, 0600, std::nullopt, false,
                                                  wanted.makes_folders}));
        listener.administrator = true;
        listeners.push_back(std::move(listener));
    }
    return opened;
}

bool says_that_there_is_none(const Error& error) {
    return error.message.starts_with(there_is_none);
}

}  // namespace postern
