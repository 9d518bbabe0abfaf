#include "ctl/completion/asked.h"

#include <pwd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/limits.h"
#include "ctl/text/action.h"
#include "ctl/text/field_text.h"
#include "ctl/text/job_text.h"
#include "ctl/text/json_fields.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/connect.h"
#include "ctl/wire/connection.h"
#include "ctl/wire/datagram.h"
#include "ctl/wire/interrupt.h"
#include "protocol/reply.h"

namespace postern::ctl {
namespace {

using Answer = std::optional<nlohmann::json>;

// Somebody waits at the keyboard. A daemon that has to be started takes less.
constexpr std::chrono::milliseconds time_to_answer{1000};

Answer answer_in(Message message) {
    if (!message.reply.error.empty()) return std::nullopt;
    return std::move(message.reply.parameters);
}

Answer ask_over_connection(const std::string& path, const std::string& call) {
    using std::chrono::milliseconds;
    const auto deadline = std::chrono::steady_clock::now() + time_to_answer;
    auto socket = connect_to(path, time_to_answer);
    if (!socket) return std::nullopt;
    Connection connection(std::move(*socket), path);
    connection.queue(call);
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    // Zero would be no bound.
    auto message = connection.wait(std::max(left, milliseconds(1)), -1);
    if (!message) return std::nullopt;
    return answer_in(std::move(*message));
}

Answer ask_with_datagram(const std::string& path, std::string call) {
    call.pop_back();  // a datagram needs no terminator
    // So that the address which the answer comes to is removed after Ctrl-C too.
    const auto interrupt = Interrupt::watch();
    if (!interrupt) return std::nullopt;
    auto message = ask_by_datagram(path, call,
                                   {.send = std::chrono::milliseconds(0), .answer = time_to_answer},
                                   interrupt->fd());
    if (!message) return std::nullopt;
    return answer_in(std::move(*message));
}

Asks whom_asks(const TypedLine& line) {
    const auto& verb = *line.verb;
    return verb.asks_with != nullptr ? verb.asks_with(line.invocation) : verb.asks;
}

}  // namespace

Asked::Place Asked::place(Asks asks) const {
    const auto& invocation = line_.invocation;
    const auto* const named = invocation.value_of(option_socket);
    SocketChoice choice{.path = named == nullptr ? std::nullopt : std::optional(*named),
                        .user = invocation.given(option_user),
                        .administrator = asks == Asks::administrator,
                        .datagram = asks == Asks::by_packets || invocation.given(option_datagram)};
    auto environment = environment_;
    // Beside a datagram socket at its usual place is the other one, which answers every question.
    if (choice.datagram && !choice.path && (choice.user || environment.postern_datagram.empty())) {
        choice.datagram = false;
        environment.postern_socket.clear();
    }
    auto path = socket_path(choice, environment);
    return {path ? std::move(*path) : std::string(), choice.datagram};
}

std::vector<Candidate> Asked::actions() {
    // As the callers' verbs ask it, whatever this one does: the administrator's socket has no list.
    const auto at =
        place(line_.verb == nullptr || line_.verb->asks != Asks::by_packets ? Asks::daemon
                                                                            : Asks::by_packets);
    // A list is not to be had by datagram.
    if (at.path.empty() || at.datagram) return {};
    const auto answer =
        ask_over_connection(at.path, protocol::encode_call("org.postern.Actions.List", nullptr));
    if (!answer) return {};
    std::vector<Candidate> found;
    for (const auto& action : array_field(*answer, "actions")) {
        found.push_back({string_field(action, "name").value_or(""),
                         string_field(action, "summary").value_or("")});
    }
    return found;
}

std::optional<ActionDescription> Asked::action(const std::string& name) {
    const auto at = place(line_.verb->asks);
    if (at.path.empty()) return std::nullopt;
    const auto call = protocol::encode_call("org.postern.Actions.Describe", {{"action", name}});
    const auto answer =
        at.datagram ? ask_with_datagram(at.path, call) : ask_over_connection(at.path, call);
    const auto* const action = answer ? field(*answer, "action") : nullptr;
    if (action == nullptr) return std::nullopt;
    auto description = decode_action(*action);
    if (!description) return std::nullopt;
    return std::move(*description);
}

std::vector<Candidate> Asked::jobs() {
    const auto asks = whom_asks(line_);
    const auto at = place(asks);
    if (at.path.empty()) return {};
    const bool all = asks == Asks::administrator;
    nlohmann::json question = {{"limit", limits::jobs_per_page}};
    if (all) question["all"] = true;
    // Those that have ended can't be cancelled.
    if (line_.verb == &verb_cancel) question["state"] = "running";
    const auto answer =
        ask_over_connection(at.path, protocol::encode_call("org.postern.Jobs.List", question));
    if (!answer) return {};
    std::vector<Candidate> found;
    for (const auto& job : array_field(*answer, "jobs")) {
        std::string description = text_of(job, "action") + ", " + job_state_text(job);
        if (all) description += ", " + user_of(job);
        found.push_back({string_field(job, "job").value_or(""), std::move(description)});
    }
    return found;
}

std::vector<std::string> Asked::users() {
    std::vector<std::string> names;
    ::setpwent();
    // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
    while (const passwd* const entry = ::getpwent()) names.emplace_back(entry->pw_name);
    ::endpwent();
    return names;
}

}  // namespace postern::ctl
