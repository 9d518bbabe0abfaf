#include "ctl/verbs/verbs.h"

#include <array>
#include <limits>

namespace postern::ctl {
namespace {

constexpr auto any_number = std::numeric_limits<std::size_t>::max();

constexpr std::array table = {
    Verb{
        .name = "run",
        .synopsis = "ACTION [NAME=VALUE ...]",
        .summary = "run an action and pass on its output",
        .help =
            R"(The job's standard output and standard error come as it writes them, byte for byte, and its
exit code is the one of posternctl. Ctrl-C ends posternctl; whether the job goes on is the
action's own affair, and is said. A list is given by naming its argument several times.

With --json each reply is one line: first the job's id, then what it writes, last its result.

With --datagram the job is started and goes on by itself: its id is printed, and the exit code is 0.
The action must allow it ("datagram": true).

Examples:
  posternctl run hello name=Ada
  posternctl run web.restart service=nginx
  posternctl run files.archive file=a.txt file=b.txt
  posternctl --json run hello name=Ada
  posternctl run --datagram backup.start
)",
        .least_words = 1,
        .most_words = any_number,
        .is_call = false,
        .run = run_action,
        .run_by_packets = run_detached},
    Verb{
        .name = "notify",
        .synopsis = "ACTION [NAME=VALUE ...] [NAME:=JSON ...]",
        .summary = "start an action with one packet, and do not wait",
        .help =
            R"(For hooks, udev rules and cron: one packet goes to the daemon's datagram socket, and no answer
comes. The action must allow it ("datagram": true). What the daemon makes of it stands in its audit.

Nothing can be asked, so the types are yours to give: NAME=VALUE is text, NAME:=JSON an integer,
true or false, text, or a list of these.

Exit code 0: the packet is in the daemon's queue; 2: usage; 122: too long for one packet; 123: the
queue stayed full for 10 seconds; 125: nobody receives there, or you may not send.

The socket: --socket PATH, else $POSTERN_DATAGRAM, else /run/postern/postern.dgram; with --user
$XDG_RUNTIME_DIR/postern/postern.dgram.

Examples:
  posternctl notify backup.start
  posternctl notify disk.added device=/dev/sdb size:=512 removable:=true
  posternctl notify web.purge 'paths:=["/a", "/b"]'
)",
        .least_words = 1,
        .most_words = any_number,
        .is_call = false,
        .run = run_notify,
        .packets_only = true},
    Verb{.name = "list",
         .synopsis = "",
         .summary = "list the actions that you may run",
         .help = R"(Actions that you may not run are not listed.

Examples:
  posternctl list
  posternctl list --json
)",
         .least_words = 0,
         .most_words = 0,
         .is_call = false,
         .run = run_list},
    Verb{.name = "describe",
         .synopsis = "ACTION",
         .summary = "say what an action is for and what its arguments must be",
         .help = R"(Examples:
  posternctl describe web.restart
  posternctl describe web.restart --json
)",
         .least_words = 1,
         .most_words = 1,
         .is_call = false,
         .run = run_describe,
         .run_by_packets = run_describe},
    Verb{
        .name = "check",
        .synopsis = "ACTION [NAME=VALUE ...]",
        .summary = "say whether an action would run, and start nothing",
        .help =
            R"(Exit code 0: it would run; 122: an argument is not valid; 126: not permitted, or no such action.

Examples:
  posternctl check web.restart service=nginx
)",
        .least_words = 1,
        .most_words = any_number,
        .is_call = false,
        .run = run_check,
        .run_by_packets = run_check},
    Verb{
        .name = "whoami",
        .synopsis = "",
        .summary = "show how the daemon sees you",
        .help =
            R"(The ids are those that the kernel told the daemon when the connection was made. The names
beside them are looked up here.

Examples:
  posternctl whoami
  sudo -u deploy posternctl whoami --json
)",
        .least_words = 0,
        .most_words = 0,
        .is_call = false,
        .run = run_whoami,
        .run_by_packets = run_whoami},
    Verb{.name = "ping",
         .synopsis = "",
         .summary = "see whether the daemon answers, and how fast",
         .help = R"(Examples:
  posternctl ping
  posternctl --user ping
)",
         .least_words = 0,
         .most_words = 0,
         .is_call = false,
         .run = run_ping,
         .run_by_packets = run_ping},
    Verb{
        .name = "call",
        .synopsis = "METHOD [JSON] [--more] | --lines",
        .summary = "call a method of the protocol, JSON in and out",
        .help =
            R"(Replies are printed as they come, one a line. JSON is an object, the method's parameters.
With --lines each line of standard input is one whole call, e.g.
  {"method": "org.postern.Actions.List"}
and all go over one connection, some of them ahead of their answers; the exit code is that of the
first answer that is an error. This is also the way to pass a secret, since the command line of a
program can be read by others.

Options:
  --more        ask for all replies of a method that has more than one
  --lines       take calls from standard input

Examples:
  posternctl call org.postern.Actions.WhoAmI
  posternctl call org.postern.Actions.Ping '{"ping": "hello"}'
  posternctl call --more org.postern.Actions.Run '{"action": "hello", "arguments": {"name": "Ada"}}'
  posternctl call --lines < calls
)",
        .least_words = 0,
        .most_words = 2,
        .is_call = true,
        .run = run_call},
    Verb{
        .name = "lint",
        .synopsis = "FILE ...",
        .summary = "check action files before they are installed",
        .help =
            R"(The files are judged by the daemon's own loader, without a daemon, as they would be on this
machine: its users, groups and programs count. Whose the files are, their mode and their folder
count only where they are installed; posternd --check looks at that. With --user they are judged
for a daemon that runs as yourself. Exit code 0: all are good; 1: one is not.

Examples:
  posternctl lint web.restart.json
  posternctl lint --json actions/*.json
)",
        .least_words = 1,
        .most_words = any_number,
        .is_call = false,
        .run = run_lint,
        .offline = true},
    Verb{
        .name = "status",
        .synopsis = "",
        .summary = "for the administrator: what the daemon is, has and does",
        .help =
            R"(Version, sockets, callers with their sessions and connections, jobs, actions in force, and the
files that are not, with the reason.

Examples:
  posternctl status
  posternctl status --json
)",
        .least_words = 0,
        .most_words = 0,
        .is_call = false,
        .run = run_status,
        .administrator = true},
    Verb{
        .name = "reload",
        .synopsis = "",
        .summary = "for the administrator: load the action files again",
        .help =
            R"(Returns when what the files say is in force. A bad file takes its own action away and no other; each
is named, and the exit code is 1. systemctl reload posternd does the same.

Examples:
  posternctl reload
)",
        .least_words = 0,
        .most_words = 0,
        .is_call = false,
        .run = run_reload,
        .administrator = true},
    Verb{.name = "log-level",
         .synopsis = "LEVEL",
         .summary = "for the administrator: change what the daemon logs",
         .help =
             R"(LEVEL is debug, info, warning, error or critical. It counts until the daemon ends.

Examples:
  posternctl log-level debug
)",
         .least_words = 1,
         .most_words = 1,
         .is_call = false,
         .run = run_log_level,
         .administrator = true},
    Verb{.name = "jobs",
         .synopsis = "--all",
         .summary = "for the administrator: list the jobs of all users that run",
         .help = R"(Examples:
  posternctl jobs --all
  posternctl jobs --all --json
)",
         .least_words = 0,
         .most_words = 0,
         .is_call = false,
         .run = run_jobs,
         .administrator = true,
         .needs_all = true},
};

}  // namespace

std::span<const Verb> verbs() {
    return table;
}

}  // namespace postern::ctl
