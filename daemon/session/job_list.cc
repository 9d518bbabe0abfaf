#include "daemon/session/job_list.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/limits.h"

namespace postern::session {
namespace {

constexpr std::size_t job_id_digits = 32;

}  // namespace

std::string place_text(const ListPlace& place) {
    return std::to_string(usec_of(place.created)) + '-' + place.job.text();
}

std::optional<ListPlace> place_from_json(const nlohmann::json& value) {
    if (!value.is_string()) return std::nullopt;
    const auto& text = value.get_ref<const std::string&>();
    const auto dash = text.find('-');
    if (dash == std::string::npos) return std::nullopt;
    std::int64_t usec = 0;
    const char* const end = text.data() + dash;
    const auto read = std::from_chars(text.data(), end, usec);
    if (read.ec != std::errc() || read.ptr != end || usec < 0) return std::nullopt;
    std::string job = text.substr(dash + 1);
    if (job.size() != job_id_digits ||
        job.find_first_not_of("0123456789abcdef") != std::string::npos) {
        return std::nullopt;
    }
    return ListPlace{time_of(static_cast<std::uint64_t>(usec)), JobId(std::move(job))};
}

std::optional<std::string> action_from_json(const nlohmann::json& value) {
    // None has an empty name, which would stand for all.
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) return std::nullopt;
    return value.get<std::string>();
}

std::optional<std::uint32_t> limit_from_json(const nlohmann::json& value) {
    // The strict parser has refused integers that are not exact.
    if (!value.is_number_integer() || value.get<std::int64_t>() < 1) return std::nullopt;
    return static_cast<std::uint32_t>(
        std::min<std::int64_t>(value.get<std::int64_t>(), limits::jobs_per_page));
}

}  // namespace postern::session
