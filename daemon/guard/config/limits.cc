#include "daemon/guard/config/limits.h"

#include <array>
#include <charconv>

#include "base/duration.h"
#include "base/size.h"
#include "base/utf8.h"

namespace postern {
namespace {

enum class Kind : std::uint8_t { count, duration, bytes };

struct Row {
    std::string_view name;
    Kind kind;
    std::uint64_t Limits::* value;
    std::uint64_t least;
    std::uint64_t most;
};

constexpr std::uint64_t second = 1'000'000;
constexpr std::uint64_t kib = 1024;

constexpr std::array<Row, 15> rows = {{
    {"connections-per-uid", Kind::count, &Limits::connections_per_uid, 1, 4096},
    {"connections", Kind::count, &Limits::connections, 1, 1'000'000},
    {"sessions-per-uid", Kind::count, &Limits::sessions_per_uid, 1, 1024},
    {"sessions", Kind::count, &Limits::sessions, 1, 16384},
    {"session-idle", Kind::duration, &Limits::session_idle, second / 10, 86400 * second},
    {"idle-exit", Kind::duration, &Limits::idle_exit, 0, 86400 * second},
    {"jobs-per-uid", Kind::count, &Limits::jobs_per_uid, 1, 4096},
    {"jobs", Kind::count, &Limits::jobs, 1, 16384},
    {"records-per-uid", Kind::count, &Limits::records_per_uid, 1, 100'000},
    {"records", Kind::count, &Limits::records, 1, 1'000'000},
    {"kill-grace", Kind::duration, &Limits::kill_grace, 0, 3600 * second},
    // Both streams, with every byte escaped as \u00XX, must fit into half of what is held for a
    // client (limits::client_backlog_bytes): 2 * 6 * 40 KiB.
    {"reply-output", Kind::bytes, &Limits::reply_output, 0, 40 * kib},
    {"stored-output", Kind::bytes, &Limits::stored_output, 4 * kib, kib* kib* kib* kib},
    {"stored-output-per-uid", Kind::bytes, &Limits::stored_output_per_uid, 4 * kib,
     kib* kib* kib* kib},
    {"timeout", Kind::duration, &Limits::timeout, second / 1000, 30ULL * 86400 * second},
}};

Result<std::uint64_t> parse(Kind kind, std::string_view text) {
    if (kind == Kind::duration) return parse_duration(text);
    if (kind == Kind::bytes) return parse_size(text);
    std::uint64_t count = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return fail("not a whole number");
    }
    return count;
}

std::string show(Kind kind, std::uint64_t value) {
    if (kind == Kind::duration) return show_duration(value);
    if (kind == Kind::bytes) return show_size(value);
    return std::to_string(value);
}

}  // namespace

Status set_limit(Limits& limits, std::string_view name, std::string_view value) {
    std::string names;
    for (const Row& row : rows) {
        if (row.name != name) {
            names += names.empty() ? "" : ", ";
            names += row.name;
            continue;
        }
        auto parsed = parse(row.kind, value);
        const std::string what = "limit " + std::string(name) + ": \"" + printable(value) + "\" ";
        if (!parsed) return fail(what + "is " + parsed.error().message);
        if (*parsed < row.least || *parsed > row.most) {
            return fail(what + "is out of bounds; take a value from " + show(row.kind, row.least) +
                        " to " + show(row.kind, row.most));
        }
        limits.*row.value = *parsed;
        return {};
    }
    return fail("limit \"" + printable(name) + "\": no such limit; there are " + names);
}

std::vector<std::pair<std::string, std::string>> show_limits(const Limits& limits) {
    std::vector<std::pair<std::string, std::string>> shown;
    shown.reserve(rows.size());
    for (const Row& row : rows) {
        shown.emplace_back(row.name, show(row.kind, limits.*row.value));
    }
    return shown;
}

}  // namespace postern
