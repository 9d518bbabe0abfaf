// Which actions may have a spare: a unit in which everything is set up before anybody asks, so that
// only the program remains to be executed. Pure.
//
// What such a run gets must be what one without a spare gets. So only what is known to be the same
// is let through, and whatever is new has no spare until somebody adds it here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/policy/snapshot.h"

namespace postern::policy {

// How many an action can ask for ("spare": N).
inline constexpr std::uint32_t most_spares = 8;

// What of the action stands against it, as it is written in its file: "sandbox.RootDirectory",
// "stdin". `launcher` is the path of the program that waits in a spare; empty: it is not known
// here, and what could hide it passes. Absent: nothing.
std::optional<std::string> why_no_spare(const Action& action, std::string_view launcher);

// How many are to be kept, whether or not it is run. Absent: one, after a run of it.
std::optional<std::uint32_t> wanted_spares(const Action& action);

// The places that its unit was set up with as they were then: a spare serves only where they still
// are the same ones. Without what systemd puts before a path.
std::vector<std::string> places_of_spare(const Action& action);

}  // namespace postern::policy
