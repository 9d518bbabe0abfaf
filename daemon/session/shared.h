// What all connections and packets of a session have in common.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/limits.h"
#include "daemon/channel/messages.h"
#include "daemon/session/caller.h"
#include "daemon/session/client_socket.h"
#include "daemon/session/guard_link.h"
#include "daemon/session/methods.h"

namespace postern::session {

using Clock = std::chrono::steady_clock;

struct Shared {
    GuardLink& guard;
    std::span<const Method> methods;
    Caller caller;
    Granted granted;
    // Where input is received, for one connection at a time. Not zeroed: what nobody sends takes no
    // memory.
    std::unique_ptr<char[]> input_memory =
        std::make_unique_for_overwrite<char[]>(limits::message_bytes);
    std::span<char> input{input_memory.get(), limits::message_bytes};
    std::unique_ptr<Unsent> spare_unsent = nullptr;
    std::uint32_t requests = 0;
    // Bytes that wait for all clients, each as of its last turn.
    std::size_t backlog = 0;
    // Bytes that the longest reply to this caller may have.
    std::size_t longest_reply = limits::client_backlog_bytes / 2;
    // Tells the time; asked only where it matters. Replaced by tests.
    std::function<Clock::time_point()> now = Clock::now;

    channel::RequestId new_request() { return channel::RequestId{++requests}; }
};

}  // namespace postern::session
