#include "ctl/text/field_text.h"

#include <ctime>
#include <limits>

#include "base/utf8.h"
#include "ctl/text/accounts.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/text.h"

namespace postern::ctl {

std::string text_of(const nlohmann::json& object, const char* key) {
    return printable(string_field(object, key).value_or("?"));
}

std::int64_t number_of(const nlohmann::json& object, const char* key) {
    return integer_field(object, key).value_or(0);
}

std::string user_of(const nlohmann::json& object) {
    const auto uid = integer_field(object, "uid");
    if (!uid || *uid < 0 || *uid > std::numeric_limits<std::uint32_t>::max()) return "?";
    return user_text(static_cast<std::uint32_t>(*uid));
}

std::string time_since(std::int64_t usec) {
    constexpr std::int64_t usec_per_second = 1'000'000;
    const std::int64_t seconds = std::time(nullptr) - usec / usec_per_second;
    return duration_text(seconds > 0 ? static_cast<long>(seconds) : 0);
}

}  // namespace postern::ctl
