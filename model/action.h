// An action, as caller, guard, session and posternctl all mean it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "model/argument.h"

namespace postern {

// What a caller may give the program for its standard input.
enum class Input : std::uint8_t {
    none = 0,    // nothing: it is /dev/null, or what the action's file says
    text = 1,    // "input": "text": with the call, at most limits::input_bytes
    direct = 2,  // "input": "direct": that, or as much as it likes, through a pipe
};

// An action as its callers may see it: no program, no rules, no user.
struct ActionDescription {
    std::string name;
    std::string summary;
    std::string description;
    std::chrono::microseconds timeout{};
    bool kill_on_disconnect = false;  // "onDisconnect": "kill"
    bool datagram = false;            // may be run by a packet of the datagram socket
    Input input = Input::none;
    bool direct_output = false;  // "output": "direct": through a pipe, for callers that take it
    std::vector<ArgumentSpec> arguments;
    friend bool operator==(const ActionDescription&, const ActionDescription&) = default;
};

}  // namespace postern
