// What the guard is told to do: defaults, then the configuration files, then the command line.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/guard/config/limits.h"
#include "daemon/guard/config/supervision.h"

namespace postern {

struct Configuration {
    std::vector<std::string> sockets;         // to bind, besides what systemd passes
    std::vector<std::string> datagrams;       // datagram sockets to bind, in the same way
    std::optional<std::string> admin_socket;  // to bind for the administrator
    mode_t socket_mode = 0660;
    std::optional<std::string> socket_group;
    std::vector<std::string> actions;  // folders, later wins
    std::string state;
    std::string runtime;               // a tmpfs, of this guard alone; empty: there is none
    std::optional<std::string> audit;  // a file
    std::string log_level = "info";
    std::string session_user = "postern-session";
    // Of postern-output, where the guard starts it. Empty: "postern-output", or the session user
    // where there is no such account.
    std::string output_user;
    // The directory in which postern-output listens that has a unit of its own; empty: the guard
    // has none, and starts it.
    std::string output_runtime;
    Supervision jobs = Supervision::automatic;
    Limits limits;

    std::vector<std::string> files;  // that were read, in this order
    // Where a value comes from that was set, by its key ("state", "limits.jobs"): FILE:LINE, or an
    // option.
    std::map<std::string, std::string> origins;
    // Of files beside them that nothing is read from, though somebody may have meant it to be.
    std::vector<std::string> ignored;
};

// The defaults of a guard that runs as this uid: the system's for root, else those of the user, as
// far as XDG_CONFIG_HOME, XDG_STATE_HOME or HOME name any.
Configuration default_configuration(uid_t uid);
std::string default_configuration_file(uid_t uid);

// Reads the file over what is there already, then the *.json files in the directory FILE.d, by the
// bytes of their names: what a later one sets takes precedence, key by key. Each must be safe like
// an action file, and is as strictly read. Error: FILE:LINE:COLUMN: what; what to do. With
// `optional`, a missing file is no error; a missing directory never is.
Status read_configuration(const std::string& path, bool optional, uid_t owner,
                          Configuration& configuration);
// The same of one file that is not installed yet: only its text counts.
Status lint_configuration(const std::string& path, Configuration& configuration);

// Where callers connect: to the sockets that are bound, or else to the one that systemd has for
// root's daemon.
std::vector<std::string> callers_sockets(const Configuration& configuration);

struct ShownSetting {
    std::string key;                  // as in `origins`
    std::vector<std::string> values;  // empty: it is not set
    bool list = false;                // else there is one value at most
};

// Every key of the file, with what it is now.
std::vector<ShownSetting> show_settings(const Configuration& configuration);

// "0660" -> 0660. Error: not an octal mode up to 0777.
Result<mode_t> parse_mode(const std::string& text);

}  // namespace postern
