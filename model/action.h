// An action, as caller, guard, session and posternctl all mean it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "model/argument.h"

namespace postern {

// An action as its callers may see it: no program, no rules, no user.
struct ActionDescription {
    std::string name;
    std::string summary;
    std::string description;
    std::chrono::microseconds timeout{};
    bool kill_on_disconnect = false;  // "onDisconnect": "kill"
    bool datagram = false;            // may be run by a packet of the datagram socket
    std::vector<ArgumentSpec> arguments;
    friend bool operator==(const ActionDescription&, const ActionDescription&) = default;
};

}  // namespace postern
