// How keys of JSON are spelled, wherever Postern writes or reads them: in camelCase.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

inline bool is_camel_case(std::string_view key) {
    const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
    return !key.empty() && is_lower(key.front()) && std::ranges::all_of(key, [&](char c) {
        return is_lower(c) || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    });
}

// Every key in `value` that is spelled otherwise. What stands below a key in `given` has the names
// that somebody else has given: of arguments, of systemd's properties.
inline std::vector<std::string> misspelled_keys(const nlohmann::json& value,
                                                const std::set<std::string>& given = {
                                                    "arguments"}) {
    std::vector<std::string> found;
    const auto add = [&found, &given](const nlohmann::json& below) {
        for (std::string& key : misspelled_keys(below, given)) found.push_back(std::move(key));
    };
    if (value.is_object()) {
        for (const auto& [key, member] : value.items()) {
            if (!is_camel_case(key)) found.push_back(key);
            if (!given.contains(key)) add(member);
        }
    } else if (value.is_array()) {
        for (const auto& element : value) add(element);
    }
    return found;
}

}  // namespace postern
