#include "ctl/verbs/attached.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

#include "base/utf8.h"
#include "ctl/text/action.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"

namespace postern::ctl {
namespace {

std::optional<std::int64_t> tail_lines(const std::string& text) {
    std::int64_t lines = 0;
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, lines);
    if (read.ec != std::errc() || read.ptr != end || lines < 0) return std::nullopt;
    return lines;
}

}  // namespace

std::string object_to_tail(const Invocation& invocation) {
    const auto* const text = invocation.value_of(option_tail);
    if (text == nullptr || tail_lines(*text)) return {};
    return "--tail: " + in_quotes(*text) +
           " is not a valid number of lines; give an integer from 0 on";
}

void put_tail(nlohmann::json& parameters, const Invocation& invocation) {
    const auto* const text = invocation.value_of(option_tail);
    if (text != nullptr) parameters["tail"] = tail_lines(*text).value_or(0);
}

Result<FoundJob, Failed> find_job(Connection& connection, const Target& target,
                                  const std::string& job) {
    if (!valid_utf8(job)) {
        complain(in_quotes(job) + ": the id of a job is valid UTF-8");
        return Unexpected(Failed{exit_code::invalid});
    }
    POSTERN_TRY(const auto reply, ask(connection, target, "org.postern.Jobs.Get", {{"job", job}}));
    const auto* const view = field(reply, "job");
    const auto id = view == nullptr ? std::nullopt : string_field(*view, "job");
    const auto action = view == nullptr ? std::nullopt : string_field(*view, "action");
    if (!id || !action) return Unexpected(nonsense(connection, "it does not say which job"));
    FoundJob found{*id, *action};
    const auto state = string_field(*view, "state");
    found.over = state == "ended" || state == "failed";
    const auto now = std::chrono::floor<std::chrono::microseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
    const auto created = std::clamp(integer_field(*view, "createdAt").value_or(now),
                                    std::int64_t{0}, std::int64_t{now});
    found.age = std::chrono::floor<std::chrono::seconds>(std::chrono::microseconds(now - created));
    return found;
}

Attached::Attached(const Invocation& invocation, FoundJob found, nlohmann::json parameters,
                   Connection connection, const Interrupt* interrupt, const FollowWish& wish)
    : JobFollower(invocation.target, same_daemon(invocation), std::move(connection), interrupt,
                  wish),
      action_name_(found.action),
      over_(found.over),
      parameters_(std::move(parameters)),
      tells_(wish.output) {
    parameters_["job"] = found.job;
    set_action(std::move(found.action));
    set_job(std::move(found.job));
    set_age(found.age);
}

Result<void, Failed> Attached::describe() {
    connection().queue(
        protocol::encode_call("org.postern.Actions.Describe", {{"action", action_name_}}));
    const auto message = connection().wait(answer_patience, interrupt());
    if (!message && message.error().why == NoReply::Why::late) {
        // Its answer may still come, and is not that to the next call.
        POSTERN_TRY(connection(), open_connection(target()));
    }
    if (!message || !message->reply.error.empty()) return {};
    const auto* const action = field(message->reply.parameters, "action");
    if (action == nullptr) return {};
    if (auto description = decode_action(*action)) description_ = std::move(*description);
    return {};
}

Result<std::optional<JobFollower::Call>, Failed> Attached::first_call() {
    return std::optional(Call{"org.postern.Jobs.Follow", parameters_});
}

// Of wait and logs it is not asked what the action declares: nobody who waits is all that they do.
std::string Attached::given_up() {
    return over_ || !description_ ? JobFollower::given_up() : left_behind();
}

// In what has gone straight to somebody else nothing is missing.
std::optional<int> Attached::named(const nlohmann::json& parameters) {
    if (std::exchange(tells_, false) && flag_field(parameters, "stdoutNotKept")) {
        complain(job_text() +
                 ": its standard output goes straight to the client that started it, and is not "
                 "stored");
    }
    return std::nullopt;
}

}  // namespace postern::ctl
