// Helpers of the parsers of sandbox values.
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "daemon/policy/sandbox/sandbox_value.h"

namespace postern::policy {

// "infinity", as it travels.
inline constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

inline Parsed one(std::string_view name, PropertyValue value) {
    std::vector<NamedProperty> properties;
    properties.push_back({std::string(name), std::move(value)});
    return properties;
}

// The text, and what is wrong with it.
inline Unexpected<Error> no(std::string_view text, std::string_view what) {
    return fail(in_quotes(text) + ' ' + std::string(what));
}

template <typename Integer>
std::optional<Integer> number_of(std::string_view text, int base = 10) {
    Integer number{};
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    const auto [rest, error] = std::from_chars(begin, end, number, base);
    if (error != std::errc{} || rest != end) return std::nullopt;
    return number;
}

inline bool is_absolute(std::string_view path) {
    return path.starts_with('/');
}

std::optional<bool> boolean_of(std::string_view text);

// At most so many parts; the last one keeps its colons.
std::vector<std::string_view> split_colons(std::string_view text, std::size_t most);

}  // namespace postern::policy
