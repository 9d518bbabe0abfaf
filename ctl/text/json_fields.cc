#include "ctl/text/json_fields.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/utf8.h"

namespace postern::ctl {

const nlohmann::json* field(const nlohmann::json& object, const char* key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return nullptr;
    return &*found;
}

std::optional<std::string> string_field(const nlohmann::json& object, const char* key) {
    const auto* value = field(object, key);
    if (value == nullptr || !value->is_string()) return std::nullopt;
    return value->get_ref<const std::string&>();
}

std::optional<std::int64_t> integer_field(const nlohmann::json& object, const char* key) {
    const auto* value = field(object, key);
    if (value == nullptr || !value->is_number_integer()) return std::nullopt;
    return value->get<std::int64_t>();
}

bool flag_field(const nlohmann::json& object, const char* key) {
    const auto* value = field(object, key);
    return value != nullptr && value->is_boolean() && value->get<bool>();
}

const nlohmann::json& array_field(const nlohmann::json& object, const char* key) {
    static const nlohmann::json empty = nlohmann::json::array();
    const auto* value = field(object, key);
    return value != nullptr && value->is_array() ? *value : empty;
}

std::string safe_json(const nlohmann::json& value) {
    return safe_json_text(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::string safe_json_text(std::string_view text) {
    std::string safe;
    safe.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte < 0x20) {
            safe += ' ';
            ++i;
            continue;
        }
        // One character: all that is escaped here takes one to four bytes of valid UTF-8.
        const std::size_t length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
        const auto character = text.substr(i, length);
        i += character.size();
        if (!forbidden_character(character)) {
            safe += character;
            continue;
        }
        // A noncharacter past U+FFFF needs a surrogate pair: let the JSON library write it.
        const auto escaped = nlohmann::json(std::string(character))
                                 .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
        // DEL is ASCII, which the library leaves as it is.
        safe += byte == 0x7F ? "\\u007f" : std::string_view(escaped).substr(1, escaped.size() - 2);
    }
    return safe;
}

}  // namespace postern::ctl
