#include "daemon/channel/messages.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "base/limits.h"

namespace postern::channel {
namespace {

JobResult some_result() {
    return {Outcome::timeout,
            true,
            -9,
            time_of(0x0102030405060708),
            time_of(0xfedcba9876543210),
            std::chrono::microseconds(3),
            4};
}

ActionDescription some_action() {
    ArgumentSpec text;
    text.name = "service";
    text.summary = "s";
    text.values = {"nginx", "php-fpm"};
    text.fallback = Value("nginx");
    text.pattern = "[a-z]+";
    text.min_length = 0;
    text.max_length = ~0U;
    ArgumentSpec numbers;
    numbers.name = "n";
    numbers.type = ArgumentType::list;
    numbers.items = ArgumentType::integer;
    numbers.required = false;
    numbers.secret = numbers.allow_leading_dash = true;
    numbers.fallback = Value(std::vector<Scalar>{std::int64_t{-1}, true, "x", Unsupported{}});
    numbers.minimum = INT64_MIN;
    numbers.maximum = INT64_MAX;
    numbers.min_items = 1;
    numbers.max_items = 2;
    ActionDescription action;
    action.name = "web.restart";
    action.summary = "Restart";
    action.description = std::string("d\0e", 3);
    action.timeout = std::chrono::seconds(30);
    action.kill_on_disconnect = true;
    action.datagram = true;
    action.arguments = {text, numbers};
    return action;
}

// One of each kind, with nothing left at its default.
std::vector<ToSession> all_to_session() {
    return {Welcome{"0.1", 4294967294, 5, 2, 32768},
            Groups{{1, 2147483648, 4294967294}},
            SnapshotBegin{7},
            SnapshotAction{some_action()},
            SnapshotEnd{},
            Connection{0x1122334455667788, -5, "x.service", true},
            Refused{1, 2, Refusal::start_failed, "subject", "message"},
            CheckPassed{1, 0xffffffff},
            Described{1, 2, some_action()},
            JobStarted{1, 2, "0123456789abcdef0123456789abcdef"},
            JobOutput{3, 4},
            JobEnded{1, 2, some_result()},
            JobFound{1, 2, {"j", "a", JobState::ended, time_of(5), some_result(), "why"}},
            StatusReport{1, 2, "0.1", 7, 1795525093704675, "debug", "systemd", 3},
            SocketReport{1, 2, "/run/s", true, true},
            CallerReport{1, 2, 1000, 4294967294, "x.service", -1, 256},
            BadFileReport{1, 2, "a", "/a.json", "/a.json:1:1: what; do"},
            JobReport{1, 2, "0123456789abcdef0123456789abcdef", "a", 1000, 42, "u.service", 9},
            Managed{1, 2, true, "why", 5},
            Datagram{1, 42, "x.service", std::string("{}\0", 3), true, true},
            Detached{1, 2, "0123456789abcdef0123456789abcdef"}};
}
std::vector<ToGuard> all_to_guard() {
    const Arguments arguments = {{"a", Value("text")},
                                 {"b", Value(std::int64_t{-7})},
                                 {"c", Value(false)},
                                 {"", Value(Unsupported{})},
                                 {"e", Value(std::vector<Scalar>{"x", std::int64_t{1}, true})}};
    return {Ready{"0.1"},
            Accepted{9},
            Closed{10},
            Run{1, 2, "hello", arguments, "key"},
            Follow{1, 2, "0123456789abcdef0123456789abcdef"},
            LookUp{1, 2, ""},
            Check{1, 2, "", arguments},
            Describe{1, 2, "x"},
            AwaitOutput{1, 2, not_awaited, 4},
            Manage{1, 2, Management::jobs, "text"},
            Reply{1, PacketFault::not_available, std::string("{}\0", 3)}};
}

template <typename F>
void each_packet(F check) {
    for (const auto& message : all_to_session()) {
        check(encode(message),
              [](std::span<const std::uint8_t> p) { return decode_to_session(p); });
    }
    for (const auto& message : all_to_guard()) {
        check(encode(message), [](std::span<const std::uint8_t> p) { return decode_to_guard(p); });
    }
}

TEST(ChannelMessages, ThereIsOneOfEachKindInTheseTests) {
    std::vector<std::size_t> seen;
    for (const auto& message : all_to_session()) seen.push_back(message.index());
    ASSERT_EQ(seen.size(), std::variant_size_v<ToSession>);
    for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], i);
    seen.clear();
    for (const auto& message : all_to_guard()) seen.push_back(message.index());
    ASSERT_EQ(seen.size(), std::variant_size_v<ToGuard>);
    for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], i);
}

TEST(ChannelMessages, ComeBackAsTheyWere) {
    each_packet([](const Bytes& packet, auto decode) {
        const auto decoded = decode(packet);
        ASSERT_TRUE(decoded.has_value())
            << "kind " << int{packet[1]} << ": " << decoded.error().message;
        EXPECT_EQ(encode(*decoded), packet) << "kind " << int{packet[1]};
    });
}

TEST(ChannelMessages, FieldsComeBack) {
    const auto described = decode_to_session(encode(ToSession(Described{1, 2, some_action()})));
    ASSERT_TRUE(described.has_value());
    const auto& d = std::get<Described>(*described);
    EXPECT_EQ(d.connection, 1U);
    EXPECT_EQ(d.request, 2U);
    EXPECT_EQ(d.action, some_action());

    const auto ended = decode_to_session(encode(ToSession(JobEnded{1, 2, some_result()})));
    ASSERT_TRUE(ended.has_value());
    EXPECT_EQ(std::get<JobEnded>(*ended).result, some_result());

    const auto original = std::get<channel::Run>(all_to_guard()[3]);
    const auto run = decode_to_guard(encode(ToGuard(original)));
    ASSERT_TRUE(run.has_value());
    EXPECT_EQ(std::get<channel::Run>(*run).action, "hello");
    EXPECT_EQ(std::get<channel::Run>(*run).arguments, original.arguments);
    EXPECT_EQ(std::get<channel::Run>(*run).key, "key");

    const JobView view{"j", "a", JobState::failed, time_of(5), some_result(), "why"};
    const auto found = decode_to_session(encode(ToSession(JobFound{1, 2, view})));
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(std::get<JobFound>(*found).job, view);
}

TEST(ChannelMessages, TheWireIsWrittenDown) {
    EXPECT_EQ(encode(ToGuard(Closed{0x0102})),
              (Bytes{1, 66, 0, 0, 8, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0}));
    EXPECT_EQ(encode(ToSession(SnapshotBegin{3})), (Bytes{1, 3, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0}));
    EXPECT_EQ(encode(ToGuard(Ready{"a"})), (Bytes{1, 64, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 'a'}));
}

// A session that sends packets of wrong length, version or kind: no message.
TEST(ChannelMessages, EveryTruncatedPrefixIsRefused) {
    each_packet([](const Bytes& packet, auto decode) {
        for (std::size_t size = 0; size < packet.size(); ++size) {
            Bytes cut(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(size));
            EXPECT_FALSE(decode(cut).has_value())
                << "kind " << int{packet[1]} << ", " << size << " bytes";
            if (size < 8) continue;
            // ... and where the length in the header agrees with it.
            const std::size_t body = size - 8;
            for (std::size_t i = 0; i < 4; ++i) {
                cut[4 + i] = static_cast<std::uint8_t>(body >> (8 * i));
            }
            EXPECT_FALSE(decode(cut).has_value()) << "kind " << int{packet[1]} << ", body " << body;
        }
    });
}

TEST(ChannelMessages, TrailingBytesAreRefused) {
    each_packet([](const Bytes& packet, auto decode) {
        Bytes longer = packet;
        longer.push_back(0);
        EXPECT_FALSE(decode(longer).has_value());
        const std::size_t body = longer.size() - 8;
        for (std::size_t i = 0; i < 4; ++i)
            longer[4 + i] = static_cast<std::uint8_t>(body >> (8 * i));
        EXPECT_FALSE(decode(longer).has_value()) << "kind " << int{packet[1]};
    });
}

TEST(ChannelMessages, EveryOtherHeaderByteIsRefused) {
    each_packet([](const Bytes& packet, auto decode) {
        for (std::size_t at = 0; at < 8; ++at) {
            if (at == 1) continue;  // other kinds: the next test
            for (int value = 0; value < 256; ++value) {
                if (packet[at] == value) continue;
                Bytes wrong = packet;
                wrong[at] = static_cast<std::uint8_t>(value);
                EXPECT_FALSE(decode(wrong).has_value())
                    << "kind " << int{packet[1]} << ", byte " << at << " = " << value;
            }
        }
    });
}

TEST(ChannelMessages, KindsOfTheOtherDirectionAndUnknownOnesAreRefused) {
    for (const auto& message : all_to_session())
        EXPECT_FALSE(decode_to_guard(encode(message)).has_value());
    for (const auto& message : all_to_guard())
        EXPECT_FALSE(decode_to_session(encode(message)).has_value());
    Bytes empty_body = {version, 0, 0, 0, 0, 0, 0, 0};
    for (int kind = 0; kind < 256; ++kind) {
        empty_body[1] = static_cast<std::uint8_t>(kind);
        // SnapshotEnd is the one message without fields.
        EXPECT_EQ(decode_to_session(empty_body).has_value(), kind == 5) << kind;
        EXPECT_FALSE(decode_to_guard(empty_body).has_value()) << kind;
    }
}

TEST(ChannelMessages, CountsAndLengthsThatLieAllocateNothing) {
    // Groups: 2^32-1 items in a body of four bytes.
    EXPECT_FALSE(decode_to_session(Bytes{1, 2, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255}).has_value());
    // Ready: a string of 2^32-1 bytes.
    EXPECT_FALSE(
        decode_to_guard(Bytes{1, 64, 0, 0, 5, 0, 0, 0, 255, 255, 255, 255, 'x'}).has_value());
}

TEST(ChannelMessages, ValuesOutOfRangeAreRefused) {
    Bytes refused = encode(ToSession(Refused{1, 2, Refusal::not_by_datagram, "", ""}));
    refused[8 + 12] = 8;
    EXPECT_FALSE(decode_to_session(refused).has_value()) << "a refusal that there is not";
    Bytes ended = encode(ToSession(JobEnded{1, 2, {Outcome::lost, false, 0, {}, {}, {}, 0}}));
    ended[8 + 12] = 7;
    EXPECT_FALSE(decode_to_session(ended).has_value()) << "an outcome that there is not";
    ended[8 + 12] = 5;
    ended[8 + 13] = 2;
    EXPECT_FALSE(decode_to_session(ended).has_value()) << "a flag that is neither 0 nor 1";
    Bytes run = encode(ToGuard(channel::Run{1, 2, "", {{"", Value(Unsupported{})}}, ""}));
    ASSERT_EQ(run.back(), 0);
    run.back() = 5;
    EXPECT_FALSE(decode_to_guard(run).has_value()) << "a value that there is not";
}

TEST(ChannelMessages, TooLongPacketsAreRefused) {
    Bytes packet = encode(ToGuard(Ready{std::string(limits::packet_bytes - 12, 'x')}));
    ASSERT_EQ(packet.size(), limits::packet_bytes);
    EXPECT_TRUE(decode_to_guard(packet).has_value());
    packet.push_back('x');
    const std::size_t body = packet.size() - 8;
    for (std::size_t i = 0; i < 4; ++i) packet[4 + i] = static_cast<std::uint8_t>(body >> (8 * i));
    packet[8] = static_cast<std::uint8_t>((body - 4) & 255);
    EXPECT_FALSE(decode_to_guard(packet).has_value());
}

// 10^5 random packets: none does harm, and what decodes encodes to itself again.
TEST(ChannelMessages, RandomPacketsDoNoHarm) {
    std::mt19937 random(4711);
    const auto originals = all_to_guard();
    for (int i = 0; i < 100'000; ++i) {
        Bytes packet = encode(originals[random() % originals.size()]);
        for (unsigned changes = random() % 4; changes > 0; --changes) {
            packet[random() % packet.size()] = static_cast<std::uint8_t>(random());
        }
        const auto decoded = decode_to_guard(packet);
        if (decoded) {
            EXPECT_EQ(encode(*decoded), packet);
        }
    }
}

}  // namespace
}  // namespace postern::channel
