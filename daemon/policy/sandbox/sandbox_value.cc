#include "daemon/policy/sandbox/sandbox_value.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "base/duration.h"
#include "base/size.h"
#include "daemon/policy/sandbox/sandbox_text.h"

namespace postern::policy {
namespace {

// "12%", "12.34%" in hundredths of a percent.
std::optional<std::uint64_t> permyriad_of(std::string_view text) {
    if (!text.ends_with('%')) return std::nullopt;
    text.remove_suffix(1);
    const std::size_t dot = text.find('.');
    const auto whole = number_of<std::uint32_t>(text.substr(0, dot));
    if (!whole) return std::nullopt;
    std::uint64_t fraction = 0;
    if (dot != std::string_view::npos) {
        const std::string_view digits = text.substr(dot + 1);
        const auto number = number_of<std::uint32_t>(digits);
        if (!number || digits.empty() || digits.size() > 2) return std::nullopt;
        fraction = digits.size() == 1 ? *number * 10U : *number;
    }
    return std::uint64_t{*whole} * 100 + fraction;
}

// A share of the whole travels as one of 2^32-1.
std::uint32_t scaled(std::uint64_t permyriad) {
    return static_cast<std::uint32_t>(
        (permyriad * std::numeric_limits<std::uint32_t>::max() + 5'000) / 10'000);
}

// systemd's sizes: parse_size() knows one letter, or one with iB.
std::optional<std::uint64_t> size_of(std::string_view text) {
    const Result<std::uint64_t> size = parse_size(text);
    if (!size) return std::nullopt;
    return *size;
}

// What a resource limit counts (setrlimit(2)), by the name behind "Limit".
enum class Counts { things, bytes, seconds, microseconds };
struct ResourceLimit {
    std::string_view name;
    Counts counts;
};
constexpr std::array<ResourceLimit, 15> resource_limits = {{
    {"AS", Counts::bytes},
    {"CORE", Counts::bytes},
    {"CPU", Counts::seconds},
    {"DATA", Counts::bytes},
    {"FSIZE", Counts::bytes},
    {"LOCKS", Counts::things},
    {"MEMLOCK", Counts::bytes},
    {"MSGQUEUE", Counts::bytes},
    {"NOFILE", Counts::things},
    {"NPROC", Counts::things},
    {"RSS", Counts::bytes},
    {"RTPRIO", Counts::things},
    {"RTTIME", Counts::microseconds},
    {"SIGPENDING", Counts::things},
    {"STACK", Counts::bytes},
}};

std::optional<std::uint64_t> limit_of(Counts counts, std::string_view text) {
    if (text == "infinity") return unlimited;
    if (counts == Counts::bytes) return size_of(text);
    const auto number = number_of<std::uint64_t>(text);
    if (number || counts == Counts::things) return number;
    const auto span = parse_duration(text);
    if (!span) return std::nullopt;
    const auto count = counts == Counts::seconds
                           ? std::chrono::ceil<std::chrono::seconds>(*span).count()
                           : span->count();
    return static_cast<std::uint64_t>(count);
}

}  // namespace

std::optional<bool> boolean_of(std::string_view text) {
    for (const std::string_view yes : {"yes", "true", "on", "1", "y", "t"}) {
        if (text == yes) return true;
    }
    for (const std::string_view not_so : {"no", "false", "off", "0", "n", "f"}) {
        if (text == not_so) return false;
    }
    return std::nullopt;
}

std::vector<std::string_view> split_colons(std::string_view text, std::size_t most) {
    std::vector<std::string_view> parts;
    while (parts.size() + 1 < most) {
        const std::size_t colon = text.find(':');
        if (colon == std::string_view::npos) break;
        parts.push_back(text.substr(0, colon));
        text.remove_prefix(colon + 1);
    }
    parts.push_back(text);
    return parts;
}

Result<std::vector<std::string>> split_words(std::string_view text) {
    std::vector<std::string> words;
    std::string word;
    bool in_word = false;
    char quote = 0;
    for (const char c : text) {
        if (quote != 0) {
            if (c == quote) {
                quote = 0;
            } else {
                word += c;
            }
        } else if (c == '"' || c == '\'') {
            quote = c;
            in_word = true;
        } else if (c == ' ' || c == '\t') {
            if (in_word) words.push_back(std::exchange(word, {}));
            in_word = false;
        } else {
            word += c;
            in_word = true;
        }
    }
    if (quote != 0) return no(text, "has an unmatched quotation mark");
    if (in_word) words.push_back(std::move(word));
    if (words.empty()) return fail("is empty");
    return words;
}

Parsed parse_boolean(std::string_view name, std::string_view text) {
    const auto value = boolean_of(text);
    if (!value) return no(text, "is neither true nor false");
    return one(name, *value);
}

Parsed parse_text(std::string_view name, std::string_view text) {
    if (text.empty()) return fail("is empty");
    return one(name, std::string(text));
}

Parsed parse_absolute_path(std::string_view name, std::string_view text) {
    if (!is_absolute(text)) return no(text, "is not absolute");
    return one(name, std::string(text));
}

Parsed parse_words(std::string_view name, std::string_view text) {
    POSTERN_TRY(auto words, split_words(text));
    return one(name, std::move(words));
}

Parsed parse_paths(std::string_view name, std::string_view text) {
    POSTERN_TRY(auto words, split_words(text));
    for (const std::string& word : words) {
        std::string_view path = word;
        for (const char prefix : {'-', '+'}) {
            if (path.starts_with(prefix)) path.remove_prefix(1);
        }
        if (!is_absolute(path)) return no(word, "is not absolute");
    }
    return one(name, std::move(words));
}

Parsed parse_folders(std::string_view name, std::string_view text) {
    POSTERN_TRY(auto words, split_words(text));
    for (const std::string& word : words) {
        const std::string within = '/' + word + '/';
        if (is_absolute(word) || within.find("/../") != std::string::npos) {
            return no(word, "is not a relative path without ..");
        }
        if (word.find(':') != std::string::npos) {
            return no(word, "asks for a symbolic link, which is not supported in a job's unit");
        }
    }
    return one(name, std::move(words));
}

Parsed parse_mode_bits(std::string_view name, std::string_view text) {
    constexpr std::uint32_t most = 07777;
    const auto mode = number_of<std::uint32_t>(text, 8);
    if (!mode || *mode > most) return no(text, "is not an octal mode");
    return one(name, *mode);
}

Parsed parse_memory(std::string_view name, std::string_view text) {
    if (text == "infinity") return one(name, unlimited);
    constexpr std::uint64_t whole = 10'000;
    if (const auto share = permyriad_of(text); share && *share <= whole) {
        return one(std::string(name) + "Scale", scaled(*share));
    }
    const auto size = size_of(text);
    if (!size) return no(text, "is not a size; write for example 64M, 50% or infinity");
    return one(name, *size);
}

Parsed parse_tasks(std::string_view name, std::string_view text) {
    const auto number = number_of<std::uint64_t>(text);
    if (number && *number > 0) return one(name, *number);
    if (text == "infinity" || text.ends_with('%')) return parse_memory(name, text);
    return no(text, "is not a number of tasks; write for example 32, 10% or infinity");
}

Parsed parse_weight(std::string_view name, std::string_view text) {
    constexpr std::uint64_t most = 10'000;
    if (text == "idle" && name.ends_with("CPUWeight")) return one(name, std::uint64_t{0});
    const auto weight = number_of<std::uint64_t>(text);
    if (!weight || *weight == 0 || *weight > most) {
        return no(text, "is not a weight; write a number from 1 to 10000");
    }
    return one(name, *weight);
}

Parsed parse_cpu_quota(std::string_view /*name*/, std::string_view text) {
    const auto share = permyriad_of(text);
    if (!share || *share == 0) return no(text, "is not a CPU quota; write for example 20%");
    return one("CPUQuotaPerSecUSec", *share * 100);
}

Parsed parse_pressure_limit(std::string_view name, std::string_view text) {
    constexpr std::uint64_t whole = 10'000;
    const auto share = permyriad_of(text);
    if (!share || *share > whole) return no(text, "is not a percentage; write for example 60%");
    return one(name, scaled(*share));
}

Parsed parse_span(std::string_view name, std::string_view text) {
    const std::string travels = std::string(name.substr(0, name.size() - 3)) + "USec";
    if (text == "infinity") return one(travels, unlimited);
    POSTERN_TRY(const auto span, parse_duration(text));
    return one(travels, static_cast<std::uint64_t>(span.count()));
}

Parsed parse_nanoseconds(std::string_view name, std::string_view text) {
    if (const auto number = number_of<std::uint64_t>(text)) return one(name, *number);
    POSTERN_TRY(const auto span, parse_duration(text));
    return one(name, static_cast<std::uint64_t>(span.count()) * 1000);
}

Parsed parse_resource_limit(std::string_view name, std::string_view text) {
    const std::string_view which = name.substr(std::strlen("Limit"));
    const auto known = std::ranges::find_if(
        resource_limits, [&](const ResourceLimit& limit) { return limit.name == which; });
    if (known == resource_limits.end()) return no(name, "is not a resource limit");
    const auto parts = split_colons(text, 2);
    const auto soft = limit_of(known->counts, parts.front());
    const auto hard = limit_of(known->counts, parts.back());
    if (!soft || !hard || *soft > *hard) {
        return no(text, "is not a limit; write one value, SOFT:HARD, or infinity");
    }
    auto properties = one(name, *hard);
    properties->push_back({std::string(name) + "Soft", *soft});
    return properties;
}

Parsed parse_integer(std::string_view name, std::string_view text, std::int64_t minimum,
                     std::int64_t maximum) {
    const auto number = number_of<std::int64_t>(text);
    if (!number || *number < minimum || *number > maximum) {
        return no(text, "is not a number from " + std::to_string(minimum) + " to " +
                            std::to_string(maximum));
    }
    return one(name, static_cast<std::int32_t>(*number));
}

}  // namespace postern::policy
