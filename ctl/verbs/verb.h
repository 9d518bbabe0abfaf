// What a verb is. Each one's row stands in the file of its name, at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "ctl/verbs/invocation.h"
#include "ctl/verbs/option.h"

namespace postern::ctl {

// Where a verb's socket is.
enum class Asks : std::uint8_t {
    daemon,         // the callers' socket; the one for packets with --datagram
    by_packets,     // the one for packets, always
    administrator,  // the administrator's
    nobody,         // it talks to no daemon, and takes no socket
};

inline constexpr auto any_number = std::numeric_limits<std::size_t>::max();

struct Verb {
    std::string_view name;
    std::string_view synopsis;  // what follows the name: "ACTION [NAME=VALUE ...]"
    std::string_view summary;   // one line
    std::string_view help;      // more of it, with examples; lines end in newlines
    // Its own options, beside those of every verb. "= {}", so that a row may leave them out without
    // a warning. NOLINTNEXTLINE(readability-redundant-member-init)
    std::span<const Option> options = {};
    std::size_t least_words = 0;
    std::size_t most_words = 0;
    Asks asks = Asks::daemon;
    // Where that depends on what is given: instead of `asks`.
    Asks (*asks_with)(const Invocation& invocation) = nullptr;
    // What is wrong with these words and options together; empty: nothing. nullptr: nothing can be.
    std::string (*objection)(const Invocation& invocation) = nullptr;
    // Returns the exit code. What it has to say it has said.
    int (*run)(const Invocation& invocation) = nullptr;
};

}  // namespace postern::ctl
