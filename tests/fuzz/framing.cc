// However a stream is cut into reads, the same messages come out of it.
#include "protocol/framing.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/property.h"

namespace {

using postern::protocol::Framer;

// Small, so that the fuzzer finds messages that are too long.
constexpr std::size_t maximum = 200;

struct Outcome {
    std::vector<std::string> messages;  // with their terminators
    bool too_long = false;
    bool mid_message = false;
    friend bool operator==(const Outcome&, const Outcome&) = default;
};

// Reads of 1 to 16 bytes as `cuts` says, or one read where there are no cuts.
Outcome frames(std::string_view stream, std::string_view cuts) {
    Framer framer(maximum);
    Outcome outcome;
    std::size_t cut = 0;
    while (!stream.empty()) {
        std::size_t size = stream.size();
        if (!cuts.empty()) size = static_cast<std::uint8_t>(cuts[cut++ % cuts.size()]) % 16U + 1U;
        std::string_view read = stream.substr(0, size);
        stream.remove_prefix(read.size());
        while (auto frame = framer.next(read)) {
            must_hold(!frame->text.empty(), "no empty message");
            must_hold(frame->text.size() <= maximum, "no message over the maximum");
            must_hold(frame->text.find('\0') == std::string_view::npos, "no NUL in a message");
            outcome.messages.push_back(std::string(frame->text) + frame->terminator);
        }
        must_hold(read.empty() || framer.too_long(), "all input is taken");
        if (framer.too_long()) break;
    }
    outcome.too_long = framer.too_long();
    outcome.mid_message = framer.mid_message();
    return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const std::size_t cuts = std::min<std::size_t>(size, 4);
    const std::string_view stream = input.substr(cuts);
    must_hold(frames(stream, {}) == frames(stream, input.substr(0, cuts)),
              "the same messages from one read and from many");
    return 0;
}
