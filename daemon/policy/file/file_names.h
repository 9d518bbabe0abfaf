// What the names in a folder of action files mean, before any file is looked at.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace postern::policy {

inline constexpr std::string_view action_suffix = ".json";

// Of an action: as it is called, without the suffix.
bool is_action_name(std::string_view name);

enum class NameKind : std::uint8_t {
    action,       // ends in ".json": the file of an action, or one that was meant to be it
    leftover,     // of an editor, a packager, a tool for configuration: nobody's business
    passed_over,  // anything else, which somebody may take for an action's file
};
NameKind kind_of_name(std::string_view file_name);

// Of a name that is passed over: what to do so that it counts. `all`: the names in its folder.
std::string how_it_would_count(std::string_view file_name,
                               const std::set<std::string, std::less<>>& all);

}  // namespace postern::policy
