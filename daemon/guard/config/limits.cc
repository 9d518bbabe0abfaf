#include "daemon/guard/config/limits.h"

#include <array>
#include <charconv>
#include <chrono>
#include <limits>
#include <optional>
#include <variant>

#include "base/duration.h"
#include "base/nearest_word.h"
#include "base/size.h"
#include "base/utf8.h"

namespace postern {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

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
    // How it was spelled before 0.2.0 was released; still read, never written.
    std::optional<std::string_view> before = std::nullopt;
};

constexpr std::uint64_t kib = 1024;

constexpr auto rows = std::to_array<Row>({
    {"connectionsPerUser", Count{&Limits::connections_per_user, 1, 4096}, "connections-per-uid"},
    {"connections", Count{&Limits::connections, 1, 1'000'000}},
    {"sessionsPerUser", Count{&Limits::sessions_per_user, 1, 1024}, "sessions-per-uid"},
    {"sessions", Count{&Limits::sessions, 1, 16384}},
    {"sessionIdle", Span{&Limits::session_idle, milliseconds(100), days(1)}, "session-idle"},
    {"idleExit", Span{&Limits::idle_exit, microseconds(0), days(1)}, "idle-exit"},
    {"jobsPerUser", Count{&Limits::jobs_per_user, 1, 4096}, "jobs-per-uid"},
    {"jobs", Count{&Limits::jobs, 1, 16384}},
    {"startsPerUser", Count{&Limits::starts_per_user, 1, 10'000}, "starts-per-user"},
    {"recordsPerUser", Count{&Limits::records_per_user, 1, 100'000}, "records-per-uid"},
    {"records", Count{&Limits::records, 1, 1'000'000}},
    {"spares", Count{&Limits::spares, 0, 64}},
    {"killGrace", Span{&Limits::kill_grace, microseconds(0), hours(1)}, "kill-grace"},
    {"followerStall", Span{&Limits::follower_stall, seconds(1), hours(1)}},
    // Both streams, with every byte escaped as \u00XX, must fit into half of what is held for a
    // client (limits::client_backlog_bytes): 2 * 6 * 40 KiB.
    {"replyOutput", Bytes{&Limits::reply_output, 0, 40 * kib}, "reply-output"},
    {"storedOutput", Bytes{&Limits::stored_output, 4 * kib, kib* kib* kib* kib}, "stored-output"},
    {"storedOutputPerUser",
     Bytes{&Limits::stored_output_per_user, 4 * kib, kib* kib* kib* kib,
           "half of storedOutputTotal"},
     "stored-output-per-uid"},
    {"storedOutputTotal", Bytes{&Limits::stored_output_total, 4 * kib, kib* kib* kib* kib,
                                "1 GiB, or 10% of the file system if that is less"}},
    {"timeout", Span{&Limits::timeout, milliseconds(1), days(30)}},
});

std::string show(const Count& /*kind*/, std::uint64_t value) {
    return std::to_string(value);
}
std::string show(const Bytes& kind, std::uint64_t value) {
    if (value == 0) return kind.unset.empty() ? "0" : std::string(kind.unset);
    return show_size(value);
}
std::string show(const Span& /*kind*/, microseconds value) {
    return show_duration(value);
}

template <typename Kind>
std::string bounds(const Kind& kind) {
    return "from " + show(kind, kind.least) + " to " + show(kind, kind.most);
}

Result<std::uint64_t> parse(const Count& kind, std::string_view text) {
    std::uint64_t count = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    const bool whole = end == text.data() + text.size();
    if (error == std::errc::result_out_of_range && whole) {
        return std::numeric_limits<std::uint64_t>::max();
    }
    if (error != std::errc{} || !whole) {
        return fail(in_quotes(text) + " is not a whole number; give one " + bounds(kind));
    }
    return count;
}
Result<std::uint64_t> parse(const Bytes& kind, std::string_view text) {
    auto size = parse_size(text);
    if (!size) return fail(size.error().message + ", " + bounds(kind));
    return size;
}
Result<microseconds> parse(const Span& kind, std::string_view text) {
    auto span = parse_duration(text);
    if (!span) return fail(span.error().message + ", " + bounds(kind));
    return span;
}

template <typename Kind>
Status set(Limits& limits, const Kind& kind, std::string_view value) {
    const auto parsed = parse(kind, value);
    if (!parsed) return Unexpected(parsed.error());
    if (*parsed < kind.least || *parsed > kind.most) {
        return fail(in_quotes(value) + " is out of range; give a value " + bounds(kind));
    }
    limits.*kind.value = *parsed;
    return {};
}

Result<const Row*> find_row(std::string_view name) {
    std::string names;
    std::vector<std::string_view> words;
    for (const Row& row : rows) {
        if (row.name == name || row.before == name) return &row;
        names += names.empty() ? "" : ", ";
        names += row.name;
        words.push_back(row.name);
    }
    const std::string_view meant = nearest_word(name, words);
    return fail("limit " + in_quotes(name) + ": no such limit; " +
                (meant.empty() ? "use one of " + names : "did you mean " + in_quotes(meant) + '?'));
}

Status set_row(Limits& limits, const Row& row, std::string_view value) {
    return std::visit([&](const auto& kind) { return set(limits, kind, value); }, row.kind);
}

}  // namespace

Result<std::string> limit_name(std::string_view name) {
    POSTERN_TRY(const Row* row, find_row(name));
    return std::string(row->name);
}

bool limit_is_count(std::string_view name) {
    const auto row = find_row(name);
    return row && std::holds_alternative<Count>((*row)->kind);
}

Status set_limit(Limits& limits, std::string_view name, std::string_view value) {
    POSTERN_TRY(const Row* row, find_row(name));
    std::string what = "limit " + std::string(row->name);
    if (name != row->name) what += " (given as " + std::string(name) + ")";
    const Status done = set_row(limits, *row, value);
    return done ? Status() : fail(what + ": " + done.error().message);
}

Status set_known_limit(Limits& limits, std::string_view name, std::string_view value) {
    POSTERN_TRY(const Row* row, find_row(name));
    return set_row(limits, *row, value);
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
