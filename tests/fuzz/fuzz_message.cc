// One message on its way: decoded, dispatched, and what comes of it encoded again.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "base/limits.h"
#include "base/utf8.h"
#include "daemon/channel/messages.h"
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
    check(protocol::decode_reply(std::string_view(reply).substr(0, reply.size() - 1)).ok());
}

// What is asked fits into a packet, and the guard reads what was written.
void check_question(const channel::ToGuard& message) {
    const auto packet = channel::encode(message);
    check(packet.size() <= limits::packet_bytes);
    const auto decoded = channel::decode_to_guard(packet);
    check(decoded.ok() && channel::encode(*decoded) == packet);
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view message(reinterpret_cast<const char*>(data), size);
    (void)protocol::decode_reply(message);
    const auto call = protocol::decode_call(message);
    if (!call) {
        check_reply(protocol::encode_error(protocol::errors::invalid_message,
                                           {{"message", call.error().message}}, '\n'));
        return 0;
    }
    static const session::Caller caller{1000, 1000, {27, 1000}, 32768};
    static const session::Granted granted{[] {
        ActionDescription hello;
        hello.name = "hello";
        return std::vector{hello};
    }()};
    static const std::string unit = "x.service";
    for (const bool administrator : {false, true}) {
        const session::Context context{caller, granted, 1, unit, administrator};
        std::visit(Check{},
                   session::dispatch(session::methods(), context, call->method, call->parameters));
    }
    return 0;
}
