// The interface texts, as they are in the .varlink files beside this one; put in when it is built.
#pragma once

#include <span>
#include <string_view>

namespace postern::protocol {

struct Interface {
    std::string_view name;
    std::string_view text;
};

// By name, ascending.
std::span<const Interface> interfaces();

// nullptr: there is no such interface.
const Interface* find_interface(std::string_view name);

}  // namespace postern::protocol
