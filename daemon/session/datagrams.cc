#include "daemon/session/datagrams.h"

#include <utility>

#include "base/limits.h"
#include "daemon/session/json_values.h"

namespace postern::session {

using channel::PacketFault;
using nlohmann::json;
namespace errors = protocol::errors;

namespace {

constexpr int packets_per_turn = 64;

bool is_terminator(char c) {
    return c == '\0' || c == '\n';
}

}  // namespace

bool Datagrams::receive(channel::Datagram packet) {
    if (queue_.size() >= limits::datagrams_in_session) return false;
    queue_.push_back(std::move(packet));
    return true;
}

bool Datagrams::ready() const {
    return !call_ && !queue_.empty() && !shared_.guard.clogged();
}

void Datagrams::turn() {
    for (int i = 0; i < packets_per_turn && ready(); ++i) {
        const channel::Datagram packet = std::move(queue_.front());
        queue_.pop_front();
        begin(packet);
    }
}

void Datagrams::begin(const channel::Datagram& packet) {
    std::string_view text = packet.payload;
    UnderWay answered;
    answered.id = packet.connection;
    if (!text.empty() && is_terminator(text.back())) {
        answered.terminator = text.back();
        text.remove_suffix(1);
    }
    const auto no_message = [&](const std::string& message) {
        finish(answered, errors::invalid_message, {{"message", message}}, PacketFault::no_message);
    };
    if (packet.descriptors) return no_message("no file descriptors may be sent along");
    if (packet.too_long || text.size() > limits::message_bytes) {
        return no_message("a message may have at most " + std::to_string(limits::message_bytes) +
                          " bytes");
    }
    if (text.empty()) return no_message("the packet is empty: one packet is one message");
    const auto call = protocol::decode_call(text);
    if (!call) return no_message(call.error().message);
    answered.oneway = call->oneway;
    for (const auto& [set, name] : {std::pair{call->more, "more"}, {call->upgrade, "upgrade"}}) {
        if (!set) continue;
        return finish(answered, errors::invalid_parameter, {{"parameter", name}},
                      PacketFault::not_available);
    }
    const Context context{shared_.caller, shared_.granted, packet.pid, packet.unit, false, true};
    Answer answer = dispatch(shared_.methods, context, call->method, call->parameters);
    std::visit(
        [&](auto& a) {
            using T = std::decay_t<decltype(a)>;
            if constexpr (std::is_same_v<T, Answered>) {
                finish(answered, a.parameters);
            } else if constexpr (std::is_same_v<T, Rejected>) {
                finish(answered, a.error, a.parameters,
                       a.error == errors::not_by_datagram ? PacketFault::not_available
                                                          : PacketFault::none);
            } else {
                ask(answered, std::move(a));
            }
        },
        answer);
}

Datagrams::UnderWay& Datagrams::start(UnderWay call, Waiting waiting) {
    UnderWay& started = call_.emplace(std::move(call));
    started.request = shared_.next_request++;
    started.waiting = waiting;
    return started;
}

void Datagrams::ask(UnderWay call, AskRun question) {
    UnderWay& started = start(std::move(call), Waiting::run);
    started.action = std::move(question.action);
    shared_.guard.send(channel::Run{started.id, started.request, started.action,
                                    std::move(question.arguments), std::move(question.key)});
}

void Datagrams::ask(UnderWay call, AskCheck question) {
    UnderWay& started = start(std::move(call), Waiting::check);
    started.action = std::move(question.action);
    shared_.guard.send(
        channel::Check{started.id, started.request, started.action, std::move(question.arguments)});
}

void Datagrams::ask(UnderWay call, AskDescribe question) {
    UnderWay& started = start(std::move(call), Waiting::describe);
    started.action = std::move(question.action);
    shared_.guard.send(channel::Describe{started.id, started.request, started.action});
}

template <typename Question>
void Datagrams::ask(const UnderWay& call, const Question& /*question*/) {
    finish(call, errors::permission_denied, json::object());
}

std::optional<Datagrams::UnderWay> Datagrams::take(std::uint64_t connection, std::uint32_t request,
                                                   std::optional<Waiting> waiting) {
    if (!call_ || call_->id != connection || call_->request != request ||
        (waiting && call_->waiting != *waiting)) {
        return std::nullopt;
    }
    return std::exchange(call_, std::nullopt);
}

bool Datagrams::answer(const channel::Refused& refused) {
    const auto call = take(refused.connection, refused.request, std::nullopt);
    if (!call) return false;
    finish(*call, refusal_error(refused.refusal), refusal_json(refused, call->action));
    return true;
}

bool Datagrams::answer(const channel::CheckPassed& passed) {
    const auto call = take(passed.connection, passed.request, Waiting::check);
    if (!call) return false;
    finish(*call, json::object());
    return true;
}

bool Datagrams::answer(const channel::Described& described) {
    const auto call = take(described.connection, described.request, Waiting::describe);
    if (!call) return false;
    finish(*call, {{"action", action_json(described.action)}});
    return true;
}

bool Datagrams::answer(const channel::Detached& detached) {
    if (detached.job.empty()) return false;
    const auto call = take(detached.connection, detached.request, Waiting::run);
    if (!call) return false;
    finish(*call, {{"job", detached.job}});
    return true;
}

void Datagrams::finish(const UnderWay& call, const json& parameters) {
    std::string text = protocol::encode_reply(parameters, false, call.terminator.value_or('\0'));
    if (text.size() > limits::datagram_reply_bytes) {
        return finish(
            call, errors::not_by_datagram,
            {{"message",
              "the reply has " + std::to_string(text.size()) + " bytes, and a packet may have " +
                  std::to_string(limits::datagram_reply_bytes) + "; connect to the stream socket"}},
            PacketFault::not_available);
    }
    reply(call, PacketFault::none, std::move(text));
}

void Datagrams::finish(const UnderWay& call, std::string_view error, const json& parameters,
                       PacketFault fault) {
    std::string text = protocol::encode_error(error, parameters, call.terminator.value_or('\0'));
    if (text.size() > limits::datagram_reply_bytes) {
        // What is so long is the caller's own text, said back.
        text = protocol::encode_error(errors::not_by_datagram,
                                      {{"message",
                                        "the error's text is too long for a packet; "
                                        "connect to the stream socket"}},
                                      call.terminator.value_or('\0'));
    }
    reply(call, fault, std::move(text));
}

void Datagrams::reply(const UnderWay& call, PacketFault fault, std::string text) {
    if (call.oneway) {
        text.clear();
    } else if (!call.terminator) {
        text.pop_back();
    }
    shared_.guard.send(channel::Reply{call.id, fault, std::move(text)});
}

}  // namespace postern::session
