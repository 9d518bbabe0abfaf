// The verbs of posternctl: one row and one file for each.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/wire/target.h"

namespace postern::ctl {

// What the command line asks for.
struct Invocation {
    Target target;
    bool user = false;               // --user: it is the user's own guard
    std::vector<std::string> words;  // after the verb, without options
    // Of `call` alone.
    bool more = false;
    bool lines = false;
};

struct Verb {
    std::string_view name;
    std::string_view synopsis;  // what follows the name: "ACTION [NAME=VALUE ...]"
    std::string_view summary;   // one line
    std::string_view help;      // more of it, with examples; lines end in newlines
    std::size_t least_words;
    std::size_t most_words;
    bool is_call;  // takes --more and --lines
    // Returns the exit code. What it has to say it has said.
    int (*run)(const Invocation& invocation);
    bool offline = false;        // talks to no daemon: takes no socket
    bool administrator = false;  // talks to the administrator's socket
    bool needs_all = false;      // takes --all, and nothing without it
    bool packets_only = false;   // talks to the datagram socket, without --datagram
    // With --datagram; nullptr: the verb does not take it.
    int (*run_by_packets)(const Invocation& invocation) = nullptr;
};

std::span<const Verb> verbs();

int run_action(const Invocation& invocation);
int run_detached(const Invocation& invocation);
int run_notify(const Invocation& invocation);
int run_list(const Invocation& invocation);
int run_describe(const Invocation& invocation);
int run_check(const Invocation& invocation);
int run_whoami(const Invocation& invocation);
int run_ping(const Invocation& invocation);
int run_call(const Invocation& invocation);
int run_lint(const Invocation& invocation);
int run_status(const Invocation& invocation);
int run_reload(const Invocation& invocation);
int run_log_level(const Invocation& invocation);
int run_jobs(const Invocation& invocation);

}  // namespace postern::ctl
