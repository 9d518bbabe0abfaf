#include "daemon/guard/config/limits.h"

#include <array>
#include <charconv>
#include <chrono>
#include <variant>

#include "base/duration.h"
#include "base/size.h"
#include "base/utf8.h"

namespace postern {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

struct Count {
    std::uint64_t Limits::* value;
    std::uint64_t least;
    std::uint64_t most;
};
struct Bytes {
    std::uint64_t Limits::* value;
    std::uint64_t least;
    std::uint64_t most;
    // What 0, which nobody can set, stands for.
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::string_view unset = {};
};
struct Span {
    microseconds Limits::* value;
    microseconds least;
    microseconds most;
};
struct Row {
    std::string_view name;
    std::variant<Count, Bytes, Span> kind;
};

constexpr std::uint64_t kib = 1024;

constexpr std::array<Row, 17> rows = {{
    {"connections-per-uid", Count{&Limits::connections_per_uid, 1, 4096}},
    {"connections", Count{&Limits::connections, 1, 1'000'000}},
    {"sessions-per-uid", Count{&Limits::sessions_per_uid, 1, 1024}},
    {"sessions", Count{&Limits::sessions, 1, 16384}},
    {"session-idle", Span{&Limits::session_idle, milliseconds(100), days(1)}},
    {"idle-exit", Span{&Limits::idle_exit, microseconds(0), days(1)}},
    {"jobs-per-uid", Count{&Limits::jobs_per_uid, 1, 4096}},
    {"jobs", Count{&Limits::jobs, 1, 16384}},
    {"startsPerUser", Count{&Limits::starts_per_user, 1, 10'000}},
    {"records-per-uid", Count{&Limits::records_per_uid, 1, 100'000}},
    {"records", Count{&Limits::records, 1, 1'000'000}},
    {"kill-grace", Span{&Limits::kill_grace, microseconds(0), hours(1)}},
    // Both streams, with every byte escaped as \u00XX, must fit into half of what is held for a
    // client (limits::client_backlog_bytes): 2 * 6 * 40 KiB.
    {"reply-output", Bytes{&Limits::reply_output, 0, 40 * kib}},
    {"stored-output", Bytes{&Limits::stored_output, 4 * kib, kib* kib* kib* kib}},
    {"stored-output-per-uid", Bytes{&Limits::stored_output_per_uid, 4 * kib, kib* kib* kib* kib,
                                    "half of storedOutputTotal"}},
    {"storedOutputTotal", Bytes{&Limits::stored_output_total, 4 * kib, kib* kib* kib* kib,
                                "1 GiB, or 10 % of the file system if that is less"}},
    {"timeout", Span{&Limits::timeout, milliseconds(1), days(30)}},
}};

Result<std::uint64_t> parse(const Count& /*kind*/, std::string_view text) {
    std::uint64_t count = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return fail("not a whole number");
    }
    return count;
}
Result<std::uint64_t> parse(const Bytes& /*kind*/, std::string_view text) {
    return parse_size(text);
}
Result<microseconds> parse(const Span& /*kind*/, std::string_view text) {
    return parse_duration(text);
}

std::string show(const Count& /*kind*/, std::uint64_t value) {
    return std::to_string(value);
}
std::string show(const Bytes& kind, std::uint64_t value) {
    if (value == 0 && !kind.unset.empty()) return std::string(kind.unset);
    return show_size(value);
}
std::string show(const Span& /*kind*/, microseconds value) {
    return show_duration(value);
}

template <typename Kind>
Status set(Limits& limits, const Kind& kind, std::string_view name, std::string_view value) {
    const auto parsed = parse(kind, value);
    const std::string what = "limit " + std::string(name) + ": \"" + printable(value) + "\" ";
    if (!parsed) return fail(what + "is " + parsed.error().message);
    if (*parsed < kind.least || *parsed > kind.most) {
        return fail(what + "is out of bounds; take a value from " + show(kind, kind.least) +
                    " to " + show(kind, kind.most));
    }
    limits.*kind.value = *parsed;
    return {};
}

// As it may be written too, above all on the command line: starts-per-user.
std::string with_dashes(std::string_view name) {
    std::string text;
    for (const char c : name) {
        if (c >= 'A' && c <= 'Z') {
            text += '-';
            text += static_cast<char>(c - 'A' + 'a');
        } else {
            text += c;
        }
    }
    return text;
}

}  // namespace

Status set_limit(Limits& limits, std::string_view name, std::string_view value) {
    std::string names;
    for (const Row& row : rows) {
        if (row.name != name && with_dashes(row.name) != name) {
            names += names.empty() ? "" : ", ";
            names += row.name;
            continue;
        }
        return std::visit([&](const auto& kind) { return set(limits, kind, name, value); },
                          row.kind);
    }
    return fail("limit \"" + printable(name) + "\": no such limit; there are " + names);
}

std::vector<std::pair<std::string, std::string>> show_limits(const Limits& limits) {
    std::vector<std::pair<std::string, std::string>> shown;
    shown.reserve(rows.size());
    for (const Row& row : rows) {
        std::visit(
            [&](const auto& kind) { shown.emplace_back(row.name, show(kind, limits.*kind.value)); },
            row.kind);
    }
    return shown;
}

}  // namespace postern
