// The reader of small calls beside the one of all calls: what the first takes, the framer and the
// second take as well, for the same call, and its reply is the same.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "daemon/session/methods.h"
#include "protocol/call.h"
#include "protocol/framing.h"
#include "protocol/small_call.h"
#include "tests/fuzz/check.h"

namespace {

using namespace postern;
using fuzz::check;

// Both ways to a reply.
void check_reply(const protocol::SmallCall& small, const protocol::Call& call, char terminator) {
    static const session::Caller caller{1000, 1000, {27, 1000}, 32768};
    static const session::Granted granted;
    session::Context context{caller, granted, 1};
    for (const bool administrator : {false, true}) {
        for (const bool datagram : {false, true}) {
            context.administrator = administrator;
            context.datagram = datagram;
            std::string reply;
            if (!session::serve_small(session::methods(), context, small, terminator, reply)) {
                check(reply.empty());
                continue;
            }
            const auto answer =
                session::dispatch(session::methods(), context, call.method, call.parameters);
            const auto* const answered = std::get_if<session::Answered>(&answer);
            check(answered != nullptr);
            check(reply == protocol::encode_reply(answered->parameters, false, terminator));
        }
    }
}

void check_call(const protocol::SmallCall& small, std::string_view message, char terminator) {
    const auto call = protocol::decode_call(message);
    check(call.has_value());
    check(!call->more && !call->oneway && !call->upgrade);
    check(small.method == call->method);
    nlohmann::json parameters = nlohmann::json::object();
    for (const auto& [name, value] : small.parameters()) parameters[std::string(name)] = value;
    check(parameters == call->parameters);
    check(small.parameters().size() == call->parameters.size());
    check_reply(small, *call, terminator);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (const auto small = protocol::read_small_call(bytes)) check_call(*small, bytes, '\n');
    std::string_view rest = bytes;
    std::string_view framed = bytes;
    protocol::Framer framer;
    for (;;) {
        const std::string_view before = rest;
        const auto small = protocol::next_small_call(rest);
        const auto frame = framer.next(framed);
        if (!small) {
            check(rest.size() == before.size());
            // It is slower, and may be another call.
            if (!frame) return 0;
            rest = framed;
            continue;
        }
        check(frame.has_value() && frame->terminator == small->terminator &&
              rest.size() == framed.size());
        check_call(small->call, frame->text, small->terminator);
    }
}
