#include "ctl/verbs/call_lines.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/limits.h"
#include "base/strict_json.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/wire/exchange.h"
#include "protocol/call.h"

namespace postern::ctl {
namespace {

constexpr std::string_view blanks = " \t\r";
constexpr char terminator = '\0';

class CallLines {
  public:
    explicit CallLines(Connection connection) : connection_(std::move(connection)) {}

    int run();

  private:
    [[nodiscard]] bool room() const {
        return unanswered_ < calls_ahead && connection_.queued() < limits::message_bytes;
    }
    // Each stops everything by setting failed_.
    void read_input();
    void take_lines();
    void take_line(std::string_view line);
    void take_replies();
    void wait();
    void fail_input(const std::string& what);

    Connection connection_;
    std::string input_;  // what was read and is no complete line yet, or waits for room
    bool input_over_ = false;
    std::size_t line_ = 0;        // number of the last line that was taken
    std::size_t unanswered_ = 0;  // calls
    std::optional<int> failed_;
    int first_error_ = exit_code::success;
};

int CallLines::run() {
    for (;;) {
        take_lines();
        if (failed_ && unanswered_ == 0) return *failed_;
        const bool all_sent = input_over_ && input_.empty() && connection_.queued() == 0;
        if (all_sent && unanswered_ == 0) return first_error_;
        wait();
        take_replies();
        if (failed_ && *failed_ == exit_code::broken) return *failed_;
    }
}

void CallLines::fail_input(const std::string& what) {
    complain("standard input, line " + std::to_string(line_) + ": " + what);
    // What was asked before it is still answered.
    failed_ = exit_code::invalid;
    input_.clear();
    input_over_ = true;
}

void CallLines::read_input() {
    std::array<char, 16384> bytes{};
    const auto got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (got > 0) {
        input_.append(bytes.data(), static_cast<std::size_t>(got));
    } else if (got == 0) {
        input_over_ = true;
        // The last line may lack its newline.
        if (!input_.empty() && input_.back() != '\n') input_ += '\n';
    } else if (errno != EINTR && errno != EAGAIN) {
        complain(std::string("standard input: ") + std::strerror(errno));
        failed_ = exit_code::broken;
    }
}

void CallLines::take_lines() {
    std::size_t taken = 0;
    while (room() && !failed_) {
        const auto end = input_.find('\n', taken);
        if (end == std::string::npos) break;
        ++line_;
        const auto line = input_.substr(taken, end - taken);
        taken = end + 1;
        take_line(line);
    }
    if (failed_) return;
    input_.erase(0, taken);
    if (input_.size() > limits::message_bytes && input_.find('\n') == std::string::npos) {
        ++line_;
        fail_input("longer than " + std::to_string(limits::message_bytes) + " bytes");
    }
}

void CallLines::take_line(std::string_view line) {
    if (line.find_first_not_of(blanks) == std::string_view::npos) return;
    const auto call = parse_strict_json(line, {.long_strings = protocol::long_strings()});
    if (!call) return fail_input("not a call: " + call.error().message);
    if (!string_field(*call, "method")) {
        return fail_input(
            R"(not a call: it is an object like {"method": "...", "parameters": {}})");
    }
    connection_.queue(line);
    connection_.queue({&terminator, 1});
    if (!flag_field(*call, "oneway")) ++unanswered_;
}

void CallLines::take_replies() {
    for (;;) {
        const auto next = connection_.next();
        if (!next) {
            failed_ = report(next.error()).code;
            return;
        }
        const std::optional<Message>& message = *next;
        if (!message) return;
        const auto& reply = message->reply;
        if (const int code = finish(safe_json_text(message->text) + "\n"); code != 0) {
            failed_ = code;
            return;
        }
        if (!reply.error.empty() && first_error_ == exit_code::success) {
            first_error_ = exit_code_of_error(reply.error);
        }
        if (is_turned_away(reply)) {
            // To the connection: none of the calls was made.
            failed_ = first_error_;
            unanswered_ = 0;
            input_.clear();
            return;
        }
        if (!reply.continues && unanswered_ > 0) --unanswered_;
    }
}

void CallLines::wait() {
    const bool reads = !input_over_ && !failed_ && room();
    std::array<pollfd, 2> watched = {
        pollfd{.fd = connection_.fd(), .events = connection_.events(), .revents = 0},
        pollfd{.fd = reads ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
    const int timeout = unanswered_ > 0 ? connection_.bound(-1) : -1;
    if (poll(watched.data(), watched.size(), timeout) < 0) return;
    if (watched[1].revents != 0) read_input();
    if ((watched[0].revents & POLLOUT) != 0) connection_.send();
    if ((watched[0].revents & ~POLLOUT) == 0 || connection_.read()) return;
    // Over: what came before is still printed.
    take_replies();
    if (failed_) return;
    if (unanswered_ == 0 && input_over_ && input_.empty()) {
        failed_ = first_error_;
        return;
    }
    complain(connection_.over().message + "; " + std::to_string(unanswered_) +
             (unanswered_ == 1 ? " call was" : " calls were") + " not answered");
    failed_ = exit_code::broken;
}

}  // namespace

int call_lines(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    return CallLines(std::move(*connection)).run();
}

}  // namespace postern::ctl
