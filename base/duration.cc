#include "base/duration.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <system_error>

#include "base/utf8.h"

namespace postern {
namespace {

struct TimeUnit {
    std::string_view name;
    std::int64_t usec;
};
// Largest first: the order in which they are written.
constexpr std::array time_units = {
    TimeUnit{"d", 86'400'000'000}, TimeUnit{"h", 3'600'000'000}, TimeUnit{"min", 60'000'000},
    TimeUnit{"s", 1'000'000},      TimeUnit{"ms", 1'000},        TimeUnit{"us", 1},
};
constexpr std::int64_t max_usec = std::numeric_limits<std::int64_t>::max();

Unexpected<Error> not_a_duration(std::string_view text) {
    // What systemd and sleep(1) call a minute, and others a month.
    const std::string_view number = text.substr(0, text.find_first_not_of("0123456789"));
    if (!number.empty() && text.substr(number.size()) == "m") {
        return fail(in_quotes(text) + " is not a duration; write " + std::string(number) + "min");
    }
    return fail(in_quotes(text) +
                " is not a duration; write for example 30s, 5min, \"1h 30min\" or a number of "
                "seconds");
}
Unexpected<Error> too_long(std::string_view text) {
    return fail(in_quotes(text) + " is too long a duration");
}

bool is_letter(char c) {
    return c >= 'a' && c <= 'z';
}

}  // namespace

Result<std::chrono::microseconds> parse_duration(std::string_view text) {
    std::int64_t total = 0;
    std::size_t next_unit = 0;
    std::string_view rest = text;
    do {
        if (rest.empty() || rest.front() < '0' || rest.front() > '9') return not_a_duration(text);
        std::int64_t number = 0;
        const char* const begin = rest.data();
        const char* const end = begin + rest.size();
        const auto [after, error] = std::from_chars(begin, end, number);
        if (error == std::errc::result_out_of_range) return too_long(text);
        if (error != std::errc{}) return not_a_duration(text);
        const bool plain = begin == text.data() && after == end;
        rest.remove_prefix(static_cast<std::size_t>(after - begin));

        std::size_t letters = 0;
        while (letters < rest.size() && is_letter(rest[letters])) ++letters;
        const std::string_view name = plain ? std::string_view("s") : rest.substr(0, letters);
        rest.remove_prefix(letters);

        std::size_t unit = next_unit;
        while (unit < time_units.size() && time_units.at(unit).name != name) ++unit;
        if (unit == time_units.size()) return not_a_duration(text);
        if (number > (max_usec - total) / time_units.at(unit).usec) return too_long(text);
        total += number * time_units.at(unit).usec;
        next_unit = unit + 1;

        if (rest.size() > 1 && rest.front() == ' ') rest.remove_prefix(1);
    } while (!rest.empty());
    return std::chrono::microseconds(total);
}

std::string show_duration(std::chrono::microseconds span) {
    std::int64_t usec = span.count();
    if (usec == 0) return "0s";
    std::string text;
    for (const TimeUnit& unit : time_units) {
        const std::int64_t count = usec / unit.usec;
        if (count == 0) continue;
        usec %= unit.usec;
        if (!text.empty()) text += ' ';
        text += std::to_string(count) + std::string(unit.name);
    }
    return text;
}

}  // namespace postern
