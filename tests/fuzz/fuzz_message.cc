// One message on its way: decoded, dispatched, and what comes of it encoded again. And the same
// bytes as a packet: one reply to it, whatever the guard says to what it is asked.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "base/limits.h"
#include "base/utf8.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"
#include "daemon/session/datagrams.h"
#include "daemon/session/methods.h"
#include "protocol/call.h"
#include "protocol/reply.h"
#include "tests/fuzz/check.h"

namespace {

using namespace postern;
using fuzz::check;

// A reply is one line of valid UTF-8, and a client of ours reads it.
void check_reply(const std::string& reply) {
    check(reply.size() <= limits::client_backlog_bytes / 2);
    check(reply.ends_with('\n') && reply.find('\n') == reply.size() - 1);
    check(reply.find('\0') == std::string::npos);
    check(valid_utf8(reply));
    check(protocol::decode_reply(std::string_view(reply).substr(0, reply.size() - 1)).has_value());
}

// What is asked fits into a packet, and the guard reads what was written.
void check_question(const channel::ToGuard& message) {
    const auto packet = channel::encode(message);
    check(packet.size() <= limits::packet_bytes);
    const auto decoded = channel::decode_to_guard(packet);
    check(decoded.has_value() && channel::encode(*decoded) == packet);
}

struct Check {
    void operator()(const session::Answered& a) const {
        check_reply(protocol::encode_reply(a.parameters, false, '\n'));
    }
    void operator()(const session::Rejected& r) const {
        check_reply(protocol::encode_error(r.error, r.parameters, '\n'));
    }
    void operator()(const session::AskRun& a) const {
        check_question(channel::Run{1, 2, a.action, a.arguments, a.key});
    }
    void operator()(const session::AskFollow& a) const {
        check_question(channel::Follow{1, 2, a.job});
    }
    void operator()(const session::AskLookUp& a) const {
        check_question(channel::LookUp{1, 2, a.job});
    }
    void operator()(const session::AskCheck& a) const {
        check_question(channel::Check{1, 2, a.action, a.arguments});
    }
    void operator()(const session::AskDescribe& a) const {
        check_question(channel::Describe{1, 2, a.action});
    }
    void operator()(const session::AskManage& a) const {
        check_question(channel::Manage{1, 2, a.what, a.text});
    }
};

const session::Caller& some_caller() {
    static const session::Caller caller{1000, 1000, {27, 1000}, 32768};
    return caller;
}

const session::Granted& some_actions() {
    static const session::Granted granted{[] {
        ActionDescription hello;
        hello.name = "hello";
        return std::vector{hello};
    }()};
    return granted;
}

// Packets to a session of this process, and a guard that answers.
class Packets {
  public:
    void take(std::string_view bytes) {
        const bool too_long = bytes.size() > limits::message_bytes + 1;
        check(datagrams_.receive(
            {++number_, 42, "", std::string(too_long ? "" : bytes), too_long, false}));
        datagrams_.turn();
        const auto said = hear();
        const auto* reply = std::get_if<channel::Reply>(&said);
        if (reply != nullptr) return check_packet_reply(*reply, bytes);
        check(datagrams_.awaits(number_));
        std::visit(
            [&](const auto& m) {
                using M = std::decay_t<decltype(m)>;
                if constexpr (std::is_same_v<M, channel::Run>) {
                    check(datagrams_.answer(channel::Detached{number_, m.request, "0123"}));
                } else if constexpr (std::is_same_v<M, channel::Check>) {
                    check(datagrams_.answer(channel::CheckPassed{number_, m.request}));
                } else if constexpr (std::is_same_v<M, channel::Describe>) {
                    check(datagrams_.answer(channel::Refused{
                        number_, m.request, channel::Refusal::not_granted, m.action, m.action}));
                } else {
                    check(false);
                }
            },
            said);
        const auto answered = hear();
        check(std::holds_alternative<channel::Reply>(answered));
        check_packet_reply(std::get<channel::Reply>(answered), bytes);
    }

  private:
    channel::ToGuard hear() {
        const auto received = receiver_.receive(ends_.first.get());
        check(received.state == channel::Received::State::packet);
        const auto message = channel::decode_to_guard(received.packet);
        check(message.has_value());
        return *message;
    }

    void check_packet_reply(const channel::Reply& reply, std::string_view packet) const {
        check(reply.connection == number_ && !datagrams_.ready());
        check(reply.bytes.size() <= limits::datagram_reply_bytes);
        if (reply.bytes.empty()) return;  // one-way
        std::string line = reply.bytes;
        const char end =
            packet.empty() || packet.size() > limits::message_bytes + 1 ? '}' : packet.back();
        if (end == '\0' || end == '\n') {
            check(line.back() == end);
            line.pop_back();
        }
        check_reply(line + '\n');
    }

    std::pair<UniqueFd, UniqueFd> ends_ = std::move(channel::make_pair()).value();
    channel::Receiver receiver_;
    session::GuardLink guard_{std::move(ends_.second)};
    session::Shared shared_{guard_, session::methods(), some_caller(), some_actions()};
    session::Datagrams datagrams_{shared_};
    std::uint64_t number_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view message(reinterpret_cast<const char*>(data), size);
    (void)protocol::decode_reply(message);
    static Packets packets;
    packets.take(message);
    const auto call = protocol::decode_call(message);
    if (!call) {
        check_reply(protocol::encode_error(protocol::errors::invalid_message,
                                           {{"message", call.error().message}}, '\n'));
        return 0;
    }
    static const std::string unit = "x.service";
    for (const bool administrator : {false, true}) {
        const session::Context context{some_caller(), some_actions(), 1, unit, administrator};
        std::visit(Check{},
                   session::dispatch(session::methods(), context, call->method, call->parameters));
    }
    return 0;
}
