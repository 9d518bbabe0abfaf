// Channel datagrams: what decodes, encodes to the same bytes again; nothing else may happen.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "daemon/channel/messages.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace postern::channel;
    const std::span packet(data, size);
    const auto same = [&](const Bytes& bytes) { return std::ranges::equal(bytes, packet); };
    if (const auto message = decode_to_guard(packet)) postern::fuzz::check(same(encode(*message)));
    if (const auto message = decode_to_session(packet))
        postern::fuzz::check(same(encode(*message)));
    return 0;
}
