// A packet is a message whose encoding is that very packet, or it is refused: there are no two
// packets for one message, and nothing in a packet goes unread.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "daemon/channel/messages.h"
#include "tests/fuzz/property.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace postern::channel;
    const std::span<const std::uint8_t> packet(data, size);
    if (const auto message = decode_to_guard(packet)) {
        must_hold(std::ranges::equal(encode(*message), packet), "to the guard: one encoding");
    }
    if (const auto message = decode_to_session(packet)) {
        must_hold(std::ranges::equal(encode(*message), packet), "to the session: one encoding");
    }
    return 0;
}
