#include "daemon/session/datagrams.h"

#include <utility>

#include "base/limits.h"
#include "protocol/call.h"

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

PendingCall* Datagrams::pending(channel::ConnectionId id) {
    return call_ && !call_->ended() && id_ == id ? &*call_ : nullptr;
}

bool Datagrams::ready() const {
    return (!call_ || call_->ended()) && !queue_.empty() && !shared_.guard.clogged();
}

void Datagrams::turn() {
    for (int i = 0; i < packets_per_turn && ready(); ++i) {
        const channel::Datagram packet = std::move(queue_.front());
        queue_.pop_front();
        id_ = packet.id;
        begin(packet);
    }
}

void Datagrams::begin(const channel::Datagram& packet) {
    std::string_view text = packet.payload;
    oneway_ = false;
    terminator_.reset();
    if (!text.empty() && is_terminator(text.back())) {
        terminator_ = text.back();
        text.remove_suffix(1);
    }
    const auto no_message = [&](const std::string& message) {
        reject(errors::invalid_message, {{"message", message}}, PacketFault::no_message);
    };
    if (packet.descriptors) return no_message("no file descriptors may be sent along");
    if (packet.too_long || text.size() > limits::message_bytes) {
        return no_message("a message may have at most " + std::to_string(limits::message_bytes) +
                          " bytes");
    }
    if (text.empty()) return no_message("the datagram is empty: one datagram is one message");
    Context context{shared_.caller, shared_.granted, packet.pid,
                    packet.unit ? &*packet.unit : nullptr};
    context.datagram = true;
    if (const auto small = protocol::read_small_call(text)) {
        std::string reply;
        if (serve_small(shared_.methods, context, *small, terminator_.value_or('\0'), reply)) {
            return send(PacketFault::none, std::move(reply));
        }
    }
    const auto call = protocol::decode_call(text);
    if (!call) return no_message(call.error().message);
    oneway_ = call->oneway;
    for (const auto& [set, name] : {std::pair{call->more, "more"}, {call->upgrade, "upgrade"}}) {
        if (!set) continue;
        return reject(errors::invalid_parameter, {{"parameter", name}}, PacketFault::not_available);
    }
    context.oneway = call->oneway;
    Answer answer = dispatch(shared_.methods, context, call->method, call->parameters);
    if (auto* asked = std::get_if<Asked>(&answer)) {
        call_.emplace(shared_, id_, std::move(*asked), *this);
    } else if (const auto* rejected = std::get_if<Rejected>(&answer)) {
        reject(rejected->error, rejected->parameters,
               rejected->error == errors::not_by_datagram ? PacketFault::not_available
                                                          : PacketFault::none);
    } else {
        reply(std::get<Answered>(answer).parameters, false);
    }
}

void Datagrams::reply(const json& parameters, bool continues) {
    std::string text = text_of(parameters, continues);
    if (text.size() > limits::datagram_reply_bytes) {
        return reject(
            errors::not_by_datagram,
            {{"message",
              "the reply has " + std::to_string(text.size()) + " bytes, and a datagram may have " +
                  std::to_string(limits::datagram_reply_bytes) + "; connect to the stream socket"}},
            PacketFault::not_available);
    }
    send(PacketFault::none, std::move(text));
}

std::string Datagrams::text_of(const json& parameters, bool continues) const {
    return protocol::encode_reply(parameters, continues, terminator_.value_or('\0'));
}

// The guard's own refusals: it has written them down.
void Datagrams::error(std::string_view error, const json& parameters) {
    reject(error, parameters, PacketFault::none);
}

void Datagrams::reject(std::string_view error, const json& parameters, PacketFault fault) {
    std::string text = protocol::encode_error(error, parameters, terminator_.value_or('\0'));
    if (text.size() > limits::datagram_reply_bytes) {
        // What is so long is the caller's own text, said back.
        text = protocol::encode_error(errors::not_by_datagram,
                                      {{"message",
                                        "the error's text is too long for a datagram; "
                                        "connect to the stream socket"}},
                                      terminator_.value_or('\0'));
    }
    send(fault, std::move(text));
}

void Datagrams::send(PacketFault fault, std::string text) {
    if (oneway_) {
        text.clear();
    } else if (!terminator_) {
        text.pop_back();
    }
    shared_.guard.replied({id_, fault, std::move(text)});
}

}  // namespace postern::session
