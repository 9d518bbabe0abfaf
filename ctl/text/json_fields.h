// Reading fields of a reply. A field that is absent, null or of another type is no value: replies
// come from another program, of another version perhaps, and nothing here throws.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace postern::ctl {

// The member, or nullptr where `object` is no object or has no such member, or it is null.
const nlohmann::json* field(const nlohmann::json& object, const char* key);

std::optional<std::string> string_field(const nlohmann::json& object, const char* key);
std::optional<std::int64_t> integer_field(const nlohmann::json& object, const char* key);
// false where it is absent.
bool flag_field(const nlohmann::json& object, const char* key);
// An empty array where it is absent.
const nlohmann::json& array_field(const nlohmann::json& object, const char* key);

// As text on one line that shows on any terminal what it is: characters that could make a terminal
// or a reader see something else are escaped the way JSON escapes them.
std::string safe_json(const nlohmann::json& value);
// The same for JSON text as it came. Precondition: it is valid JSON, so that control characters
// stand between its tokens only, and everything else that must be escaped stands in strings.
std::string safe_json_text(std::string_view text);

}  // namespace postern::ctl
