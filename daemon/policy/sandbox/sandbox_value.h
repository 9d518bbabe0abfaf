// The values of unit files, as far as "sandbox" takes them: one assignment's text -> what travels
// to PID 1. As systemd.exec(5) and systemd.resource-control(5) define them; specifiers are not
// expanded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/policy/unit_property.h"

namespace postern::policy {

// One value of a property: the name that PID 1 knows it by, and the value.
struct NamedProperty {
    std::string name;
    PropertyValue value;
};
using Parsed = Result<std::vector<NamedProperty>>;

// Words separated by spaces; in "..." or '...' they may contain such. Error: an open quotation.
Result<std::vector<std::string>> split_words(std::string_view text);

// All of these take the property's name as in the file, and one assignment. The error says what is
// wrong, without the property's name.
Parsed parse_boolean(std::string_view name, std::string_view text);
Parsed parse_text(std::string_view name, std::string_view text);
Parsed parse_absolute_path(std::string_view name, std::string_view text);
Parsed parse_words(std::string_view name, std::string_view text);
// Absolute, after an optional "-" and "+".
Parsed parse_paths(std::string_view name, std::string_view text);
// Relative, without "..": StateDirectory= and its like.
Parsed parse_folders(std::string_view name, std::string_view text);
Parsed parse_mode_bits(std::string_view name, std::string_view text);
// "64M", "50%", "infinity".
Parsed parse_memory(std::string_view name, std::string_view text);
Parsed parse_tasks(std::string_view name, std::string_view text);
Parsed parse_weight(std::string_view name, std::string_view text);
Parsed parse_cpu_quota(std::string_view name, std::string_view text);
// A span of time whose name ends in Sec, and travels ending in USec.
Parsed parse_span(std::string_view name, std::string_view text);
Parsed parse_nanoseconds(std::string_view name, std::string_view text);
// "256M:512M", "infinity"; by what the limit counts.
Parsed parse_resource_limit(std::string_view name, std::string_view text);
Parsed parse_pressure_limit(std::string_view name, std::string_view text);
Parsed parse_integer(std::string_view name, std::string_view text, std::int64_t minimum,
                     std::int64_t maximum);

}  // namespace postern::policy
