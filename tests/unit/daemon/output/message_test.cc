#include "daemon/output/message.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

namespace postern::output {
namespace {

constexpr std::array all_kinds = {Kind::hello,    Kind::want_pipes,  Kind::keep,   Kind::watch,
                                  Kind::room,     Kind::finish,      Kind::forget, Kind::kept,
                                  Kind::all_kept, Kind::pipe,        Kind::grown,  Kind::trouble,
                                  Kind::finished, Kind::want_inputs, Kind::input,  Kind::refused};

bool names_a_job(Kind kind) {
    constexpr std::array others = {Kind::hello, Kind::want_pipes,  Kind::room,  Kind::all_kept,
                                   Kind::pipe,  Kind::want_inputs, Kind::input, Kind::refused};
    return std::ranges::find(others, kind) == others.end();
}

Message full_message(Kind kind) {
    Message message;
    message.kind = kind;
    message.stream = 1;
    if (names_a_job(kind)) message.job = JobId("0123456789abcdef0123456789abcdef");
    message.count = 0x01020304;
    message.followers = 5;
    message.error = 28;
    message.owner = 0xf1f2f3f4f5f6f7f8;
    message.window = 0x0102030405060708;
    message.stall = none;
    message.owner = 7;
    message.stored = 1;
    message.floor = none - 1;
    message.awaited = 3;
    message.sizes = {4, 5};
    return message;
}

TEST(OutputMessage, WhatIsEncodedIsDecoded) {
    for (const Kind kind : all_kinds) {
        const Message message = full_message(kind);
        EXPECT_EQ(decode(encode(message)), message) << static_cast<int>(kind);
    }
}

TEST(OutputMessage, WhatIsNotExactlyRightIsNothing) {
    const Packet good = encode(full_message(Kind::keep));
    EXPECT_EQ(decode(std::span(good).first(packet_bytes - 1)), std::nullopt);
    std::array<std::uint8_t, packet_bytes + 1> longer{};
    std::ranges::copy(good, longer.begin());
    EXPECT_EQ(decode(longer), std::nullopt);
    EXPECT_EQ(decode({}), std::nullopt);
    const auto with = [&good](std::size_t at, std::uint8_t byte) {
        Packet packet = good;
        packet[at] = byte;
        return decode(packet);
    };
    EXPECT_EQ(with(0, 2), std::nullopt);  // version
    for (const int kind : {0, 9, 63, 72, 255}) {
        EXPECT_EQ(with(1, static_cast<std::uint8_t>(kind)), std::nullopt) << kind;
    }
    EXPECT_EQ(with(2, 2), std::nullopt);    // stream
    EXPECT_EQ(with(3, 1), std::nullopt);    // nothing stands there
    EXPECT_EQ(with(4, '/'), std::nullopt);  // the job's id
    EXPECT_EQ(with(35, 'A'), std::nullopt);
    EXPECT_EQ(with(4, 0), std::nullopt);
}

}  // namespace
}  // namespace postern::output
