#include "daemon/policy/file/file_names.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/limits.h"

namespace postern::policy {
namespace {

// What a name's last component (behind a dot) begins with, or is, that tools make: as systemd
// (hidden_or_backup_file() of its basic/path-util.c, 257), logrotate ("tabooext" of its config.c,
// 3.21) and cronie pass them over, and as pacman(8), apk(8), Puppet, CFEngine, rpm(8)
// ("NAME;1a2b3c4d" while it writes), vim(1), nano(1) and patch(1) make them. Not ".bak" and ".old":
// people write them too.
constexpr std::array<std::string_view, 6> begins_of_tools = {
    "dpkg-", "rpm", "ucf-", "cf-", "rhn-cfg-tmp-", "json;",
};
constexpr std::array<std::string_view, 18> ends_of_tools = {
    "pacnew", "pacsave",    "pacorig", "apk-new", "puppet-bak", "cfsaved",
    "cfnew",  "cfdisabled", "swp",     "swo",     "swn",        "save",
    "orig",   "rej",        "tmp",     "new",     "part",       "disabled",
};
// systemd's, and what revision control, vim(1) (to see whether it may write) and joe(1) make.
constexpr std::array<std::string_view, 7> names_of_tools = {
    "lost+found", "aquota.user", "aquota.group", "CVS", "RCS", "4913", "DEADJOE",
};
// What others call such a file; any other end is part of a name.
constexpr std::array<std::string_view, 11> other_suffixes = {
    ".action", ".cfg", ".conf", ".config", ".ini", ".js", ".jsn", ".toml", ".txt", ".yaml", ".yml",
};

std::string lower(std::string_view text) {
    std::string lowered(text);
    for (char& c : lowered) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return lowered;
}

bool is_one_of(std::span<const std::string_view> all, std::string_view text) {
    return std::ranges::find(all, text) != all.end();
}

// Behind the last dot, but for a number that a tool has put behind it: "pacsave" of
// "web.json.pacsave.1". Empty: there is no dot.
std::string_view last_component(std::string_view file_name) {
    std::size_t dot = file_name.rfind('.');
    if (dot == std::string_view::npos) return {};
    if (file_name.find_first_not_of("0123456789", dot + 1) == std::string_view::npos) {
        file_name = file_name.substr(0, dot);
        dot = file_name.rfind('.');
    }
    return dot == std::string_view::npos ? std::string_view() : file_name.substr(dot + 1);
}

bool is_end_of_tools(std::string_view component) {
    return is_one_of(ends_of_tools, component) ||
           std::ranges::any_of(begins_of_tools, [&](std::string_view begin) {
               return component.starts_with(begin);
           });
}

// The action that was meant: "web" of "web.JSON", "web.json.bak", "web.jsonc" and "web.conf".
std::string_view meant(std::string_view file_name) {
    const std::string lowered = lower(file_name);
    const std::size_t end = lowered.rfind(action_suffix);
    if (end != std::string::npos) return file_name.substr(0, end);
    for (const std::string_view suffix : other_suffixes) {
        if (lowered.ends_with(suffix)) return file_name.substr(0, lowered.size() - suffix.size());
    }
    return file_name;
}

}  // namespace

bool is_action_name(std::string_view name) {
    const auto is_alphanumeric = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    if (name.empty() || name.size() > limits::action_name_bytes || !is_alphanumeric(name.front())) {
        return false;
    }
    return std::ranges::all_of(
        name, [&](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

NameKind kind_of_name(std::string_view file_name) {
    if (file_name.starts_with('.')) return NameKind::leftover;
    if (file_name.ends_with(action_suffix)) return NameKind::action;
    const bool is_leftover = file_name.starts_with('#') || file_name.ends_with('~') ||
                             file_name.ends_with(",v") || file_name.starts_with("README") ||
                             is_one_of(names_of_tools, file_name) ||
                             is_end_of_tools(last_component(file_name));
    return is_leftover ? NameKind::leftover : NameKind::passed_over;
}

std::string how_it_would_count(std::string_view file_name,
                               const std::set<std::string, std::less<>>& all) {
    const std::string_view name = meant(file_name);
    if (!is_action_name(name)) return "give it a name that ends in .json";
    std::string right = std::string(name) + std::string(action_suffix);
    if (all.contains(right)) {
        return right + " exists too; move this one elsewhere, or give it another name that ends " +
               "in .json";
    }
    return "rename it to " + right;
}

}  // namespace postern::policy
