// One row of the tables of options: all that the command line, the help, the completion and the
// tests know of an option stands here.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "ctl/verbs/completes.h"

namespace postern::ctl {

struct Option {
    std::string_view name;   // without its two dashes
    char letter = 0;         // the short form; 0: there is none
    std::string_view value;  // "PATH": what the help calls its value; empty: a flag
    bool repeats = false;    // may be given several times, each with a value of its own
    std::string_view help;   // lines without a newline at the end
    // Of its value, and the words that this can be, where it is one of a list.
    Completes completes = Completes::nothing;
    // NOLINTNEXTLINE(readability-redundant-member-init): as in verb.h
    std::span<const std::string_view> listed = {};
};

// Of every verb.
inline constexpr Option option_socket{
    .name = "socket",
    .value = "PATH",
    .help = "the daemon's socket; else $POSTERN_SOCKET, else /run/postern/postern.sock",
    .completes = Completes::files};
inline constexpr Option option_user{
    .name = "user",
    .value = "",
    .help = "your own daemon, at $XDG_RUNTIME_DIR/postern/postern.sock"};
inline constexpr Option option_json{
    .name = "json", .value = "", .help = "JSON out, one object a line"};
inline constexpr Option option_help{
    .name = "help", .letter = 'h', .value = "", .help = "show this help, or the help of a verb"};
inline constexpr Option option_version{.name = "version", .value = "", .help = "the version"};

inline constexpr std::array common_options = {option_socket, option_user, option_json, option_help,
                                              option_version};

// Of those verbs that have it in their own tables.
inline constexpr Option option_datagram{
    .name = "datagram",
    .value = "",
    .help =
        "one datagram each way instead of a connection, at the datagram socket:\n"
        "--socket PATH, else $POSTERN_DATAGRAM, else /run/postern/postern.dgram; with\n"
        "--user $XDG_RUNTIME_DIR/postern/postern.dgram"};
inline constexpr std::array datagram_options = {option_datagram};

}  // namespace postern::ctl
