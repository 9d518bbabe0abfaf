#include "host/subordinate_ids.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <limits>

namespace postern {
namespace {

constexpr std::uint64_t last_id = std::numeric_limits<id_t>::max() - 1;

template <typename What>
void for_each_line(std::string_view text, What what) {
    std::size_t number = 0;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        what(line, ++number);
        text.remove_prefix(std::min(text.size(), line.size() + 1));
    }
}

std::optional<std::uint64_t> read_as_strtoul(std::string_view field) {
    const std::string text(field);
    if (text.empty() || text.find('-') != std::string::npos) return std::nullopt;
    char* end = nullptr;
    errno = 0;
    const std::uint64_t number = std::strtoull(text.c_str(), &end, 0);
    if (errno != 0 || end != text.c_str() + text.size()) return std::nullopt;
    return number;
}

// The words of a line, which spaces are between.
std::vector<std::string_view> words_of(std::string_view line) {
    constexpr std::string_view spaces = " \t\r\n\v\f";
    std::vector<std::string_view> words;
    while (true) {
        line.remove_prefix(std::min(line.size(), line.find_first_not_of(spaces)));
        if (line.empty()) return words;
        words.push_back(line.substr(0, line.find_first_of(spaces)));
        line.remove_prefix(words.back().size());
    }
}

std::optional<id_t> decimal(std::string_view word) {
    id_t id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
    return id;
}

bool equal_but_for_case(std::string_view one, std::string_view other) {
    return std::ranges::equal(
        one, other, {}, [](unsigned char c) { return std::tolower(c); },
        [](unsigned char c) { return std::tolower(c); });
}

}  // namespace

std::vector<SubordinateIds> parse_subordinate_ids(std::string_view text) {
    std::vector<SubordinateIds> all;
    for_each_line(text, [&all](std::string_view line, std::size_t number) {
        const std::size_t first_colon = line.find(':');
        const std::size_t second_colon =
            first_colon == std::string_view::npos ? first_colon : line.find(':', first_colon + 1);
        if (second_colon == std::string_view::npos || first_colon == 0) return;
        const auto first =
            read_as_strtoul(line.substr(first_colon + 1, second_colon - first_colon - 1));
        const auto count = read_as_strtoul(line.substr(second_colon + 1));
        if (!first || !count || *first > last_id || *count == 0) return;
        const std::uint64_t more = std::min(*count - 1, last_id - *first);
        all.push_back({std::string(line.substr(0, first_colon)), static_cast<id_t>(*first),
                       static_cast<id_t>(*first + more), number});
    });
    return all;
}

std::string subordinate_id_sources(std::string_view nsswitch) {
    constexpr std::string_view database = "subid:";
    std::optional<std::string> sources;
    for_each_line(nsswitch, [&](std::string_view line, std::size_t /*number*/) {
        line.remove_prefix(std::min(line.size(), line.find_first_not_of(" \t\r\v\f")));
        if (sources || !equal_but_for_case(line.substr(0, database.size()), database)) return;
        line = line.substr(0, line.find('#')).substr(database.size());
        std::string& named = sources.emplace();
        for (const std::string_view word : words_of(line)) {
            if (!named.empty()) named += ' ';
            named += word;
        }
    });
    return sources.value_or("files");
}

uid_t last_system_uid(std::string_view login_defs) {
    std::optional<uid_t> highest;
    uid_t lowest_of_people = 1000;
    for_each_line(login_defs, [&](std::string_view line, std::size_t /*number*/) {
        const auto words = words_of(line);
        if (words.size() != 2) return;
        const auto value = decimal(words[1]);
        if (!value) return;
        if (words[0] == "SYS_UID_MAX") highest = value;
        if (words[0] == "UID_MIN") lowest_of_people = *value;
    });
    return highest.value_or(std::max<uid_t>(lowest_of_people, 1) - 1);
}

std::optional<std::vector<id_t>> first_outside_ids(std::string_view uid_map) {
    std::vector<id_t> ids;
    bool valid = true;
    for_each_line(uid_map, [&](std::string_view line, std::size_t /*number*/) {
        const auto words = words_of(line);
        const auto outside = words.size() == 3 ? decimal(words[1]) : std::nullopt;
        valid = valid && outside && decimal(words[0]) && decimal(words[2]);
        if (valid) ids.push_back(*outside);
    });
    if (!valid || ids.empty()) return std::nullopt;
    return ids;
}

}  // namespace postern
