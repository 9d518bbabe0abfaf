#include "base/size.h"

#include <array>
#include <charconv>
#include <limits>
#include <system_error>

#include "base/counted.h"
#include "base/utf8.h"

namespace postern {
namespace {

struct SizeUnit {
    std::string_view letter;
    std::string_view name;
    std::uint64_t bytes;
};
constexpr std::array size_units = {
    SizeUnit{"T", "TiB", std::uint64_t{1} << 40U},
    SizeUnit{"G", "GiB", std::uint64_t{1} << 30U},
    SizeUnit{"M", "MiB", std::uint64_t{1} << 20U},
    SizeUnit{"K", "KiB", std::uint64_t{1} << 10U},
};

Unexpected<Error> not_a_size(std::string_view text) {
    return fail(in_quotes(text) +
                " is not a size; write for example 64MiB, 32K or a number of bytes");
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
    std::uint64_t number = 0;
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    const auto [rest, error] = std::from_chars(begin, end, number);
    if (error == std::errc::result_out_of_range)
        return fail(in_quotes(text) + " is too large a size");
    if (error != std::errc{}) return not_a_size(text);

    std::string_view unit(rest, static_cast<std::size_t>(end - rest));
    if (unit.empty()) return number;
    if (unit.front() == ' ') unit.remove_prefix(1);
    for (const SizeUnit& known : size_units) {
        if (unit != known.letter && unit != known.name) continue;
        if (number > std::numeric_limits<std::uint64_t>::max() / known.bytes) {
            return fail(in_quotes(text) + " is too large a size");
        }
        return number * known.bytes;
    }
    return not_a_size(text);
}

std::string show_size(std::uint64_t bytes) {
    for (const SizeUnit& unit : size_units) {
        if (bytes != 0 && bytes % unit.bytes == 0) {
            return std::to_string(bytes / unit.bytes) + ' ' + std::string(unit.name);
        }
    }
    return counted(bytes, "byte");
}

}  // namespace postern
