// One message on its way: decoded, dispatched, and what comes of it encoded again. And the same
// bytes as a packet: one reply to it, whatever the guard says to what it is asked.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

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

struct Check {
    void operator()(const session::Answered& a) const {
        check_reply(protocol::encode_reply(a.parameters, false, '\n'));
    }
    void operator()(const session::Rejected& r) const {
        check_reply(protocol::encode_error(r.error, r.parameters, '\n'));
    }
    // It fits into a packet, and the guard reads what was written.
    void operator()(const session::Asked& a) const {
        const auto body =
            std::visit([](const auto& call) { return channel::ToGuard(call); }, a.call);
        const auto packet =
            channel::encode({channel::ConnectionId{1}, channel::RequestId{2}, body});
        check(packet.size() <= limits::packet_bytes);
        const auto decoded = channel::decode_to_guard(packet);
        check(decoded.has_value() && channel::encode(*decoded) == packet);
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
        const channel::ConnectionId id{++number_};
        check(
            datagrams_.receive({id, 42, "", std::string(too_long ? "" : bytes), too_long, false}));
        datagrams_.turn();
        const auto said = hear();
        if (const auto* reply = reply_in(said)) return check_packet_reply(*reply, bytes);
        auto* const pending = datagrams_.pending(id);
        check(pending != nullptr);
        std::vector<UniqueFd> no_files;
        const auto answer = [&](const CallAnswer& said_back) {
            check(pending->take(said.request, said_back, no_files) && pending->ended());
        };
        std::visit(
            [&](const auto& call) {
                using C = std::decay_t<decltype(call)>;
                if constexpr (std::is_same_v<C, RunCall>) {
                    answer(Detached{JobId("0123")});
                } else if constexpr (std::is_same_v<C, CheckCall>) {
                    answer(CheckPassed{});
                } else if constexpr (std::is_same_v<C, DescribeCall>) {
                    answer(Refused{Refusal::not_granted, call.action, call.action});
                } else {
                    check(false);
                }
            },
            said.body);
        const auto answered = hear();
        const auto* reply = reply_in(answered);
        check(reply != nullptr);
        check_packet_reply(*reply, bytes);
    }

  private:
    // Null: it is a call.
    [[nodiscard]] const channel::Reply* reply_in(
        const channel::Envelope<channel::ToGuard>& said) const {
        const auto* replies = std::get_if<channel::Replies>(&said.body);
        check((replies == nullptr ? said.connection : replies->all.at(0).id) ==
              channel::ConnectionId{number_});
        return replies == nullptr ? nullptr : &replies->all.at(0);
    }

    channel::Envelope<channel::ToGuard> hear() {
        guard_.send_gathered();
        const auto received = receiver_.receive(ends_.first.get());
        check(received.state == channel::Received::State::packet);
        const auto message = channel::decode_to_guard(received.packet);
        check(message.has_value());
        return *message;
    }

    void check_packet_reply(const channel::Reply& reply, std::string_view packet) const {
        check(!datagrams_.ready());
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
    channel::Receiver receiver_{channel::Descriptors::taken};
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
        const session::Context context{some_caller(), some_actions(), 1, &unit, administrator};
        std::visit(Check{},
                   session::dispatch(session::methods(), context, call->method, call->parameters));
    }
    return 0;
}
