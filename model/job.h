// A job: its state and its end, the key that its caller may give it, and its output.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postern {

// By the wall clock; in messages and files the microseconds since the epoch.
using Time = std::chrono::sys_time<std::chrono::microseconds>;
constexpr std::uint64_t usec_of(Time time) {
    return static_cast<std::uint64_t>(time.time_since_epoch().count());
}
constexpr Time time_of(std::uint64_t usec) {
    return Time(std::chrono::microseconds(static_cast<std::int64_t>(usec)));
}

// Which job. Its text is 32 hexadecimal digits where we gave it, and anything where a caller named
// one that need not exist.
class JobId {
  public:
    JobId() = default;
    explicit JobId(std::string text) : text_(std::move(text)) {}
    [[nodiscard]] const std::string& text() const { return text_; }
    [[nodiscard]] bool empty() const { return text_.empty(); }
    friend auto operator<=>(const JobId&, const JobId&) = default;

  private:
    std::string text_;
};

// How a job ended.
enum class Outcome : std::uint8_t {
    exited = 0,         // by itself; `status` is its exit code
    signaled = 1,       // by a signal that was not ours; `status` is the signal
    timeout = 2,        // we ended it: its time was up
    disconnected = 3,   // we ended it: its caller went, and the action says "onDisconnect": "kill"
    stopped = 4,        // we ended it: the guard stopped
    lost = 5,           // the guard died; what became of the job is not known
    out_of_memory = 6,  // the kernel ended it: its memory was used up
    other = 7,          // a word of another version: JobResult::other_outcome
};

// By these words in replies, records and audit; `other` is the word that it is.
inline constexpr std::array<std::pair<Outcome, std::string_view>, 7> outcome_names = {{
    {Outcome::exited, "exited"},
    {Outcome::signaled, "signaled"},
    {Outcome::timeout, "timeout"},
    {Outcome::disconnected, "disconnected"},
    {Outcome::stopped, "stopped"},
    {Outcome::lost, "lost"},
    {Outcome::out_of_memory, "out-of-memory"},
}};
constexpr std::string_view outcome_name(Outcome outcome) {
    for (const auto& [known, name] : outcome_names) {
        if (known == outcome) return name;
    }
    return "unknown";
}

// Who has cancelled a job.
struct Canceller {
    std::uint32_t uid = 0;
    // What the user is called. Empty: it has no name, or it is not known.
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::string user = {};
    friend auto operator<=>(const Canceller&, const Canceller&) = default;
};

struct JobResult {
    Outcome outcome = Outcome::lost;
    // Exit code for `exited`, signal for every other outcome whose main process died of one, else
    // 0.
    bool by_signal = false;
    std::int32_t status = 0;
    Time started;
    Time ended;
    // Of the main process and its waited-for children (getrusage(2), RUSAGE_CHILDREN's way).
    std::chrono::microseconds cpu{};
    std::uint64_t max_resident_kib = 0;
    // Processes that it left in the background, and that were ended with it.
    std::uint32_t ended_processes = 0;
    // Of stdout and stderr, where its end could not be kept: from this byte on it is lost.
    std::array<std::optional<std::uint64_t>, 2> lost_from{};
    // Beside the outcome, which says what became of its process: somebody asked for its end.
    std::optional<Canceller> cancelled_by = std::nullopt;
    // Of Outcome::other.
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::string other_outcome = {};
    friend bool operator==(const JobResult&, const JobResult&) = default;
};

inline std::string_view outcome_word(const JobResult& result) {
    return result.outcome == Outcome::other ? std::string_view(result.other_outcome)
                                            : outcome_name(result.outcome);
}

// What a caller may see of a job of its own.
enum class JobState : std::uint8_t {
    starting = 0,
    running = 1,
    ended = 2,   // see `result`
    failed = 3,  // it could not be started, see `message`
};
// Of one stream of a job: all that was written, and what is still stored of it.
struct StreamSizes {
    std::uint64_t written = 0;
    std::uint64_t stored = 0;
    friend bool operator==(const StreamSizes&, const StreamSizes&) = default;
};
// One argument of a job, as it is shown: a secret one is hidden.
struct ShownArgument {
    std::string name;
    std::string text;
    bool is_list = false;  // `text` is one, as policy::Command::lists says
    friend bool operator==(const ShownArgument&, const ShownArgument&) = default;
};
// Who started it, from where, and with what. What is not known is empty or absent.
struct JobDetails {
    std::string user;  // the name of the uid
    std::uint32_t gid = 0;
    std::string unit;      // that the caller was in
    std::string listener;  // the socket that the call came through
    std::vector<ShownArgument> arguments;
    std::string rule;        // that allowed it
    std::string rule_place;  // FILE:LINE of that rule; for the administrator alone
    // Of stdout and stderr; absent too where it went straight to whoever started the job.
    std::array<std::optional<StreamSizes>, 2> sizes{};
    friend bool operator==(const JobDetails&, const JobDetails&) = default;
};
struct JobView {
    JobId job;
    std::string action;
    JobState state = JobState::starting;
    Time created;
    std::optional<JobResult> result;
    std::string message;
    // The process that started it.
    std::optional<std::uint32_t> uid = std::nullopt;
    std::int32_t pid = 0;
    std::optional<JobDetails> details = std::nullopt;
    friend bool operator==(const JobView&, const JobView&) = default;
};

// What a caller may call a job: 1 to 64 letters, digits, and . _ : -
constexpr bool is_job_key(std::string_view text) {
    constexpr std::size_t longest = 64;
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == ':' || c == '-';
    };
    return !text.empty() && text.size() <= longest && std::ranges::all_of(text, fits);
}

// As an offset that a reader of output has come to: enough of this stream is read, nothing of it is
// waited for. (The highest that an off_t holds: no file grows past it.)
inline constexpr std::uint64_t not_awaited = std::numeric_limits<std::int64_t>::max();

}  // namespace postern

template <>
struct std::hash<postern::JobId> {
    std::size_t operator()(const postern::JobId& job) const noexcept {
        return std::hash<std::string>()(job.text());
    }
};
