#include "ctl/text/point_in_time.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <optional>

#include "base/duration.h"
#include "base/utf8.h"

namespace postern::ctl {
namespace {

constexpr std::int64_t usec_of_second = 1'000'000;

std::optional<std::int64_t> parse_date(const std::string& text) {
    for (const char* format : {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"}) {
        std::tm parts{};
        const char* const end = strptime(text.c_str(), format, &parts);
        if (end == nullptr || *end != '\0') continue;
        const std::tm asked = parts;
        parts.tm_isdst = -1;  // as it was on that day
        const std::time_t seconds = std::mktime(&parts);
        // A day that the month does not have would be one of the next.
        if (seconds < 0 || parts.tm_mday != asked.tm_mday) return std::nullopt;
        return static_cast<std::int64_t>(seconds) * usec_of_second;
    }
    return std::nullopt;
}

}  // namespace

Result<std::int64_t> parse_point_in_time(std::string_view text, std::int64_t now_usec) {
    if (const auto date = parse_date(std::string(text))) return *date;
    // The daemon's files write a minute as "min", many people and programs as "m".
    std::string span(text);
    const std::size_t digits = text.find_first_not_of("0123456789");
    if (digits != 0 && digits != std::string_view::npos && text.substr(digits) == "m") span += "in";
    const auto ago = parse_duration(span);
    if (!ago || ago->count() > now_usec) {
        return fail(in_quotes(text) +
                    " is not a point in time; write for example 10m, 2h or 1d (an age), "
                    "2026-11-01 or \"2026-11-01 12:00\"");
    }
    return now_usec - ago->count();
}

std::string point_in_time_text(std::int64_t usec) {
    const auto seconds = static_cast<std::time_t>(usec / usec_of_second);
    std::tm parts{};
    if (localtime_r(&seconds, &parts) == nullptr) return "?";
    std::array<char, 64> text{};
    const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
    return {text.data(), length};
}

}  // namespace postern::ctl
