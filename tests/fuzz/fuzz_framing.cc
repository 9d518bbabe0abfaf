// The framer: however the bytes are split into writes, the messages are the same.
//
// The first byte chooses how; the others are the bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/framing.h"
#include "tests/fuzz/check.h"

namespace {

using postern::fuzz::check;
using postern::protocol::Framer;

// Small, so that inputs of a fuzzer's size reach it.
constexpr std::size_t maximum = 200;

struct Seen {
    std::vector<std::pair<std::string, char>> frames;
    bool too_long = false;
    bool mid_message = false;
    friend bool operator==(const Seen&, const Seen&) = default;
};

Seen run(std::string_view bytes, std::uint8_t seed) {
    Framer framer(maximum);
    Seen seen;
    std::uint32_t state = seed;
    while (!bytes.empty()) {
        std::size_t length = bytes.size();
        if (seed != 0) {
            state = state * 1664525U + 1013904223U;
            length = std::min<std::size_t>(bytes.size(), seed == 1 ? 1 : 1 + (state >> 16) % 17);
        }
        const std::string part(bytes.substr(0, length));
        bytes.remove_prefix(length);
        std::string_view rest = part;
        while (const auto frame = framer.next(rest)) {
            check(!frame->text.empty() && frame->text.size() <= maximum);
            check(frame->text.find('\0') == std::string_view::npos);
            check(frame->terminator == '\0' || frame->terminator == '\n');
            seen.frames.emplace_back(std::string(frame->text), frame->terminator);
        }
        check(rest.empty());
    }
    seen.too_long = framer.too_long();
    seen.mid_message = framer.mid_message();
    return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    const Seen whole = run(bytes, 0);
    check(whole == run(bytes, 1));
    check(whole == run(bytes, static_cast<std::uint8_t>(data[0] | 2U)));
    return 0;
}
