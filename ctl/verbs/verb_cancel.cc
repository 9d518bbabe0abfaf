#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/field_text.h"
#include "ctl/text/job_end.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/verbs/job_options.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"
#include "ctl/wire/socket_path.h"
#include "model/cancel_signals.h"

namespace postern::ctl {
namespace {

constexpr auto signal_names = [] {
    std::array<std::string_view, cancel_signals.size()> names{};
    std::ranges::copy(cancel_signals | std::views::keys, names.begin());
    return names;
}();

constexpr Option option_signal{.name = "signal",
                               .value = "NAME",
                               .help = "instead of TERM: HUP, INT, QUIT, ABRT, USR1, ...",
                               .completes = Completes::listed,
                               .listed = signal_names};
constexpr Option option_now{.name = "now", .value = "", .help = "send SIGKILL immediately"};
constexpr Option option_all_of{
    .name = "all-of",
    .value = "USER",
    .help = "for the administrator: all jobs of this user, a name or a uid",
    .completes = Completes::users};
constexpr std::array cancel_options = {option_signal, option_now, option_all, option_all_of};

std::string object_to_cancel(const Invocation& invocation) {
    const std::string* const signal = invocation.value_of(option_signal);
    if (signal != nullptr && !cancel_signal_of(*signal)) {
        return "cancel: --signal: " + in_quotes(*signal) +
               " is not a signal that a job can be cancelled with; give " + cancel_signal_names();
    }
    const bool all = invocation.given(option_all_of);
    if (all && invocation.value_of(option_all_of)->empty()) {
        return "cancel: --all-of: USER is required";
    }
    if (all && !invocation.words.empty()) return "cancel: give a JOB or --all-of, not both";
    if (!all && invocation.words.empty()) return "cancel: JOB is required";
    return "";
}

// Root is the administrator, who may cancel every job: on that one's socket, where no other is
// named.
Asks whom_cancel_asks(const Invocation& invocation) {
    if (invocation.given(option_all_of) || invocation.given(option_all)) {
        return Asks::administrator;
    }
    const bool is_named = invocation.given(option_socket) || invocation.given(option_user) ||
                          !socket_environment().postern_socket.empty();
    const bool administers = !is_named && geteuid() == 0 && access(system_admin_socket, F_OK) == 0;
    return administers ? Asks::administrator : Asks::daemon;
}

nlohmann::json parameters_with(const Invocation& invocation, const char* key,
                               const std::string& value) {
    nlohmann::json parameters = {{key, value}};
    if (const auto* signal = invocation.value_of(option_signal)) parameters["signal"] = *signal;
    if (invocation.given(option_now)) parameters["now"] = true;
    return parameters;
}

// Waits as long as it takes: a job has its time until KILL, and may hang in the kernel after that.
Result<Message, NoReply> ask_for_end(Connection& connection, const char* method,
                                     const nlohmann::json& parameters) {
    connection.queue(protocol::encode_call(method, parameters));
    return connection.wait(std::chrono::milliseconds(0), -1);
}

// `cancelled` has job, action, and its result unless it was not started.
int tell_cancelled(const Invocation& invocation, const nlohmann::json& cancelled) {
    if (invocation.target.json) return finish_json(cancelled);
    std::string how = "not started";
    if (const auto* result = field(cancelled, "result")) {
        const auto end = decode_job_end(*result);
        if (!end) return nonsense(invocation.target.socket, end.error().message).code;
        how = how_it_ended(*end);
    }
    return finish(text_of(cancelled, "action") + ": job " + text_of(cancelled, "job") +
                  " was cancelled: " + how + "\n");
}

// What is told of a job that was cancelled and has ended while the daemon could not be asked.
// Nothing: it still runs, or nobody had cancelled it.
std::optional<nlohmann::json> as_cancelled(const nlohmann::json& job) {
    const auto state = string_field(job, "state");
    const auto* result = field(job, "result");
    if (state != "ended" && state != "failed") return std::nullopt;
    if (result == nullptr || field(*result, "cancelledBy") == nullptr) return std::nullopt;
    nlohmann::json cancelled = {{"job", string_field(job, "job").value_or("")},
                                {"action", string_field(job, "action").value_or("")}};
    if (state == "ended") cancelled["result"] = *result;
    return cancelled;
}

int cancel_one(const Invocation& invocation) {
    constexpr int most_connections = 3;
    const Target& target = invocation.target;
    std::string job = invocation.words.front();
    for (int connections = 1;; ++connections) {
        auto connection = open_connection(target);
        if (!connection) return connection.error().code;
        // Answered at once, so that a daemon which does not answer is told from a job that takes
        // its time.
        const auto found = ask(*connection, target, "org.postern.Jobs.Get", {{"job", job}});
        if (!found) return found.error().code;
        const auto* view = field(*found, "job");
        const auto id = view == nullptr ? std::nullopt : string_field(*view, "job");
        if (!id) return nonsense(*connection, "it names no job").code;
        job = *id;
        // By the daemon that was asked before, which did not live to say so.
        const auto cancelled = connections > 1 ? as_cancelled(*view) : std::nullopt;
        if (cancelled) return tell_cancelled(invocation, *cancelled);
        const auto message = ask_for_end(*connection, "org.postern.Jobs.Cancel",
                                         parameters_with(invocation, "job", job));
        if (message && message->reply.error.empty()) {
            return tell_cancelled(invocation, message->reply.parameters);
        }
        if (message) return report(target, message->reply).code;
        if (message.error().why != NoReply::Why::ended || connections == most_connections) {
            return report(message.error()).code;
        }
    }
}

int cancel_all(const Invocation& invocation) {
    const Target& target = invocation.target;
    const std::string& user = *invocation.value_of(option_all_of);
    auto connection = open_connection(target);
    if (!connection) return connection.error().code;
    const auto there = ask(*connection, target, "org.postern.Actions.Ping", {{"ping", ""}});
    if (!there) return there.error().code;
    const auto message = ask_for_end(*connection, "org.postern.Admin.CancelAllOf",
                                     parameters_with(invocation, "user", user));
    if (!message) return report(message.error()).code;
    if (message->reply.error == "org.varlink.service.InvalidParameter" &&
        string_field(message->reply.parameters, "parameter") == "user") {
        complain("cancel: --all-of: " + in_quotes(user) +
                 " is not a user that the daemon knows; give a user's name, or a uid");
        return exit_code::invalid;
    }
    if (!message->reply.error.empty()) return report(target, message->reply).code;
    if (target.json) return finish_json(message->reply.parameters);
    std::string text;
    for (const auto& job : array_field(message->reply.parameters, "jobs")) {
        text += text_of(job, "action") + ": job " + text_of(job, "job") + " was cancelled\n";
    }
    if (text.empty()) complain(printable(user) + " has no running jobs");
    return finish(text);
}

int run_cancel(const Invocation& invocation) {
    return invocation.given(option_all_of) ? cancel_all(invocation) : cancel_one(invocation);
}

}  // namespace

constinit const Verb verb_cancel{
    .name = "cancel",
    .synopsis = "JOB | --all-of USER",
    .summary = "end a job",
    .help =
        R"(Send SIGTERM, or the signal that --signal names, to all processes of the job, and SIGKILL if they
have not ended after the daemon's limit killGrace (10 seconds unless the administrator changed it).
Returns when the job has ended; Ctrl-C ends only posternctl. A job that has not begun is not
started. Cancelling a job again may send another signal, or SIGKILL with --now; each signal is sent
once.

Signals are HUP, INT, QUIT, ABRT, KILL, USR1, USR2 and TERM, with or without SIG.

You may cancel your own jobs, and root those of all users: with --all, or unless a socket is named,
root asks the administration socket, if there is one. If the job has already ended, the exit code is
122.

Examples:
  posternctl cancel 5faba0c2d1e84f0aa2f6b7c8d9e0f1a2
  posternctl cancel 5faba0c2d1e84f0aa2f6b7c8d9e0f1a2 --signal INT
  posternctl cancel 5faba0c2d1e84f0aa2f6b7c8d9e0f1a2 --now
  posternctl cancel --all-of alice
)",
    .options = cancel_options,
    .most_words = 1,
    .completes = Completes::jobs,
    .asks_with = whom_cancel_asks,
    .objection = object_to_cancel,
    .run = run_cancel,
};

}  // namespace postern::ctl
