#include "daemon/guard/service/log.h"

#include <poll.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "base/log_levels.h"
#include "base/utf8.h"

namespace postern {
namespace {

// Longer ones are cut: what fits PIPE_BUF goes whole or not at all (pipe(7)).
constexpr std::size_t longest_line = 2048;

// sd-daemon(3): "<N>" at the beginning of a line is its priority.
const char* prefix(spdlog::level::level_enum level) {
    switch (level) {
        case spdlog::level::critical:
            return "<2>";
        case spdlog::level::err:
            return "<3>";
        case spdlog::level::warn:
            return "<4>";
        case spdlog::level::info:
            return "<6>";
        default:
            return "<7>";
    }
}

class NonBlockingStderr final : public spdlog::sinks::base_sink<std::mutex> {
  public:
    explicit NonBlockingStderr(bool journal) : journal_(journal) {}

  private:
    void sink_it_(const spdlog::details::log_msg& message) override {
        const std::string_view payload(message.payload.data(), message.payload.size());
        std::string line = journal_ ? prefix(message.level) : "posternd: ";
        if (!journal_ && message.level >= spdlog::level::warn) {
            const auto name = spdlog::level::to_string_view(message.level);
            line.append(name.data(), name.size()).append(": ");
        }
        line += printable(payload.substr(0, longest_line));
        if (missing_ > 0)
            line += " (" + std::to_string(missing_) + " lines before this were not written)";
        line += '\n';
        missing_ = put(line) ? 0 : missing_ + 1;
    }
    void flush_() override {}

    static bool put(const std::string& line) {
        pollfd writable{STDERR_FILENO, POLLOUT, 0};
        if (::poll(&writable, 1, 0) != 1 || (writable.revents & POLLOUT) == 0) return false;
        return ::write(STDERR_FILENO, line.data(), line.size()) ==
               static_cast<ssize_t>(line.size());
    }

    bool journal_;
    std::size_t missing_ = 0;
};

struct Level {
    std::string_view name;
    spdlog::level::level_enum level;
};
constexpr std::array<Level, log_levels.size()> levels = {
    {{log_levels[0], spdlog::level::debug},
     {log_levels[1], spdlog::level::info},
     {log_levels[2], spdlog::level::warn},
     {log_levels[3], spdlog::level::err},
     {log_levels[4], spdlog::level::critical}}};

}  // namespace

// systemd says with JOURNAL_STREAM=device:inode that a service's stderr is the journal
// (systemd.exec(5)).
bool log_is_journal() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat status{};
    if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0) return false;
    return stream == std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
}

Status start_log(const std::string& level) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "posternd", std::make_shared<NonBlockingStderr>(log_is_journal())));
    return set_log_level(level);
}

std::string log_level() {
    for (const Level& known : levels) {
        if (known.level == spdlog::get_level()) return std::string(known.name);
    }
    return "unknown";
}

Status set_log_level(const std::string& level) {
    std::string names;
    for (const Level& known : levels) {
        if (known.name == level) {
            spdlog::set_level(known.level);
            return {};
        }
        names += names.empty() ? "" : ", ";
        names += known.name;
    }
    return fail("log level \"" + printable(level) + "\": no such level; use one of " + names);
}

}  // namespace postern
