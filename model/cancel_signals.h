// The signals that a job may be cancelled with, by the names that kill -l has for them: those that
// programs end on, or may be told to end by.
#pragma once

#include <algorithm>
#include <array>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace postern {

inline constexpr auto cancel_signals = std::to_array<std::pair<std::string_view, int>>({
    {"HUP", SIGHUP},
    {"INT", SIGINT},
    {"QUIT", SIGQUIT},
    {"ABRT", SIGABRT},
    {"KILL", SIGKILL},
    {"USR1", SIGUSR1},
    {"USR2", SIGUSR2},
    {"TERM", SIGTERM},
});

// With SIG in front or without.
constexpr std::optional<int> cancel_signal_of(std::string_view name) {
    if (name.starts_with("SIG")) name.remove_prefix(3);
    const auto* const found =
        std::ranges::find(cancel_signals, name, &std::pair<std::string_view, int>::first);
    return found == cancel_signals.end() ? std::nullopt : std::optional(found->second);
}

constexpr bool is_cancel_signal(int signal) {
    return std::ranges::find(cancel_signals, signal, &std::pair<std::string_view, int>::second) !=
           cancel_signals.end();
}

// "HUP, INT, ... or TERM", for messages.
inline std::string cancel_signal_names() {
    std::string names;
    for (const auto& [name, number] : cancel_signals) {
        if (!names.empty()) names += name == cancel_signals.back().first ? " or " : ", ";
        names += name;
    }
    return names;
}

}  // namespace postern
