#include "daemon/channel/messages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <new>
#include <random>

#include "base/limits.h"

namespace {
// Bytes of the longest piece of memory that was asked for; counted in this whole program.
std::size_t longest_allocation = 0;
}  // namespace

void* operator new(std::size_t bytes) {
    longest_allocation = std::max(longest_allocation, bytes);
    if (void* memory = std::malloc(bytes)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
    std::free(memory);
}

namespace postern::channel {
namespace {

constexpr std::size_t header_size = 20;
constexpr ConnectionId connection{0x1122334455667788};
constexpr RequestId request{0xfedcba98};
const JobId job("0123456789abcdef0123456789abcdef");

JobResult some_result() {
    return {Outcome::timeout,
            true,
            -9,
            time_of(0x0102030405060708),
            time_of(0xfedcba9876543210),
            std::chrono::microseconds(3),
            4,
            5,
            {std::uint64_t{7}, std::nullopt},
            Canceller{4294967294, "alice"},
            "word"};
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

JobView some_view(JobState state) {
    JobDetails details;
    details.user = "alice";
    details.gid = 1001;
    details.unit = "a.service";
    details.listener = "/run/s";
    details.arguments = {{"n", "5"}, {"l", "[\"5\"]", true}};
    details.rule = "allow user alice";
    details.rule_place = "/a.json:1";
    details.sizes = {StreamSizes{10, 4}, StreamSizes{3, 2}};
    return {JobId("j"), "a", state, time_of(5), some_result(), "why", 1000, 42, details};
}

// One of each kind, with nothing left at its default.
std::vector<Envelope<ToSession>> all_to_session() {
    const JobView view = some_view(JobState::ended);
    return {
        {{}, {}, Welcome{"0.1", 4294967294, 5, 2, 32768}},
        {{}, {}, Groups{{1, 2147483648, 4294967294}}},
        {{}, {}, SnapshotBegin{7}},
        {{}, {}, SnapshotAction{some_action()}},
        {{}, {}, SnapshotEnd{}},
        {{},
         {},
         Connections{{{connection, -5, "x.service", true, true}, {connection, 1, std::nullopt}}}},
        {{},
         {},
         Datagrams{{{connection, 42, "x.service", std::string("{}\0", 3), true, true},
                    {connection, 1, std::nullopt, "", false, false}}}},
        {connection, request, Refused{Refusal::start_failed, "subject", "message"}},
        {connection, request, CheckPassed{}},
        {connection, request, Described{some_action()}},
        {connection, request, JobStarted{job, true, true, true}},
        {connection, request, JobOutput{}},
        {connection, request, JobEnded{some_result()}},
        {connection, request, JobFound{view}},
        {connection, request, Detached{job}},
        {connection, request,
         StatusReport{"0", 7, time_of(1795525093704675), "debug", "systemd", 3, "w", "o", "full"}},
        {connection, request, SocketReport{"/run/s", true, true}},
        {connection, request, CallerReport{1000, 4294967294, "x.service", -1, 256}},
        {connection, request, BadFileReport{"a", "/a.json", "/a.json:1:1: what; do"}},
        {connection, request, JobReport{job, "a", 1000, 42, "u.service", time_of(9)}},
        {connection, request, Managed{true, "why", 5}},
        {connection, request, WarningReport{"a", "/a.json:1:1: what; do"}},
        {connection, request, HandedOver{}},
        {connection, request, ProblemReport{"socket", "/run/s: gone"}},
        {connection, request, JobCancelled{job, "a", some_result()}},
        {connection, request, JobStored{}},
        {connection, request, JobsListed{{view, view}, time_of(7), job}},
        {connection, request, CallerUnit{"x.service"}}};
}
std::vector<Envelope<ToGuard>> all_to_guard() {
    const Arguments arguments = {{"a", Value("text")},
                                 {"b", Value(std::int64_t{-7})},
                                 {"c", Value(false)},
                                 {"", Value(Unsupported{Unusable::fraction})},
                                 {"e", Value(std::vector<Scalar>{"x", std::int64_t{1}, true})}};
    return {
        {{}, {}, Ready{"0.1"}},
        {{}, {}, Accepted{{connection, ConnectionId{1}}}},
        {{},
         {},
         Closed{{{connection, CloseCause::holds_most}, {ConnectionId{1}, CloseCause::over}}}},
        {{}, {}, Replies{{{connection, PacketFault::not_available, std::string("{}\0", 3)}, {}}}},
        {connection, request, RunCall{"hello", arguments, "key", "input", true, true}},
        {connection, request, FollowCall{job, true}},
        {connection, request, LookUpCall{}},
        {connection, request, CheckCall{"", arguments}},
        {connection, request, DescribeCall{"x"}},
        {connection, request, AwaitOutput{not_awaited, 4}},
        {connection, request, OutputTaken{4, not_awaited}},
        {connection, request, ManageCall{Management::jobs, "text"}},
        {connection, request, HandOver{"{}"}},
        {connection, request, CancelCall{job, 15, true}},
        {connection, request, CancelAllCall{"alice", 9, false}},
        {connection, request,
         ListCall{"a", JobState::failed, time_of(5), 7, true, time_of(6), job}},
        {connection, request, UnitCall{}}};
}

// The first kind about a call of a connection, as the lists above have them.
constexpr std::size_t request_from_guard = 7;
constexpr std::size_t request_from_session = 4;

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

// A packet whose header says how long it really is.
Bytes of_true_length(Bytes packet) {
    const std::size_t body = packet.size() - header_size;
    for (std::size_t i = 0; i < 4; ++i) packet[4 + i] = static_cast<std::uint8_t>(body >> (8 * i));
    return packet;
}

Bytes packet_of(std::uint8_t kind, const Bytes& body) {
    Bytes packet(header_size);
    packet[0] = version;
    packet[1] = kind;
    packet.insert(packet.end(), body.begin(), body.end());
    return of_true_length(std::move(packet));
}

std::string error_of(const auto& decoded) {
    return decoded ? "none" : decoded.error().message;
}

TEST(ChannelMessages, ThereIsOneOfEachKindInTheseTests) {
    std::vector<std::size_t> seen;
    for (const auto& message : all_to_session()) seen.push_back(message.body.index());
    ASSERT_EQ(seen.size(), std::variant_size_v<ToSession>);
    for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], i);
    seen.clear();
    for (const auto& message : all_to_guard()) seen.push_back(message.body.index());
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

// What encodes to the same bytes could still be without them.
TEST(ChannelMessages, IdsComeBack) {
    const auto check = [](const auto& messages, auto decode) {
        for (const auto& message : messages) {
            const auto decoded = decode(encode(message));
            ASSERT_TRUE(decoded.has_value()) << message.body.index();
            EXPECT_EQ(decoded->body.index(), message.body.index());
            EXPECT_EQ(decoded->connection, message.connection) << message.body.index();
            EXPECT_EQ(decoded->request, message.request) << message.body.index();
        }
    };
    check(all_to_session(), decode_to_session);
    check(all_to_guard(), decode_to_guard);
}

TEST(ChannelMessages, FieldsComeBack) {
    const auto to_session = [](const ToSession& body) {
        auto decoded = decode_to_session(encode({connection, request, body}));
        EXPECT_TRUE(decoded.has_value());
        return decoded->body;
    };
    EXPECT_EQ(std::get<Described>(to_session(Described{some_action()})).action, some_action());
    EXPECT_EQ(std::get<JobEnded>(to_session(JobEnded{some_result()})).result, some_result());
    const JobView view = some_view(JobState::failed);
    EXPECT_EQ(std::get<JobFound>(to_session(JobFound{view})).job, view);
    EXPECT_EQ(std::get<JobStarted>(to_session(JobStarted{job})).job, job);

    const auto original = all_to_guard()[request_from_session];
    const auto decoded = decode_to_guard(encode(original));
    ASSERT_TRUE(decoded.has_value());
    const auto& run = std::get<RunCall>(decoded->body);
    EXPECT_EQ(run.action, "hello");
    EXPECT_EQ(run.arguments, std::get<RunCall>(original.body).arguments);
    EXPECT_EQ(run.key, "key");
}

TEST(ChannelMessages, TheWireIsWrittenDown) {
    EXPECT_EQ(encode({{}, {}, Accepted{{ConnectionId{0x0102}}}}),
              (Bytes{5, 65, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                     0, 0,  0, 0, 1,  0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0}));
    EXPECT_EQ(encode({{}, {}, Closed{{{ConnectionId{0x0102}, CloseCause::reads_nothing}}}}),
              (Bytes{5, 66, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                     0, 0,  0, 1, 0,  0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 2}));
    EXPECT_EQ(encode({{}, {}, Connections{{{ConnectionId{5}, 7, "u", true, false}}}}),
              (Bytes{5, 6, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   0, 0,  // header
                     1, 0, 0, 0,                                                     // one
                     5, 0, 0, 0, 0,  0, 0, 0, 7, 0, 0, 0, 1, 1, 0, 0, 0, 'u', 1, 0}));
    EXPECT_EQ(encode({{}, {}, Datagrams{{{ConnectionId{5}, 7, std::nullopt, "{}", true, false}}}}),
              (Bytes{5, 7, 0, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   0,   0,  // header
                     1, 0, 0, 0,                                                       // one
                     5, 0, 0, 0, 0,  0, 0, 0, 7, 0, 0, 0, 0, 2, 0, 0, 0, '{', '}', 1, 0}));
    EXPECT_EQ(encode({{}, {}, Replies{{{ConnectionId{5}, PacketFault::no_message, "{}"}}}}),
              (Bytes{5, 67, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   0,  0,  // header
                     1, 0,  0, 0, 5,  0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, '{', '}'}));
    EXPECT_EQ(encode({{}, {}, SnapshotBegin{3}}),
              (Bytes{5, 3, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0}));
    EXPECT_EQ(encode({{}, {}, Ready{"a"}}), (Bytes{5, 64, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,  0,
                                                   0, 0,  0, 0, 0, 0, 0, 1, 0, 0, 0, 'a'}));
    EXPECT_EQ(encode({connection, request, Refused{Refusal::key_in_use, "k", "m"}}),
              (Bytes{5,    8,    0,    0,    11,   0,    0,    0,                   // header
                     0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,                // connection
                     0x98, 0xba, 0xdc, 0xfe,                                        // request
                     6,    1,    0,    0,    0,    'k',  1,    0,    0, 0, 'm'}));  // body
    EXPECT_EQ(
        encode({connection, request,
                RunCall{"r", {{"n", Value(std::vector<Scalar>{true, std::int64_t{-2}})}}, ""}}),
        (Bytes{5,    68,   0,    0,    37,   0,    0,    0,                      //
               0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,                   //
               0x98, 0xba, 0xdc, 0xfe,                                           //
               1,    0,    0,    0,    'r',                                      // action
               1,    0,    0,    0,                                              // one argument
               1,    0,    0,    0,    'n',                                      // its name
               4,    2,    0,    0,    0,                                        // a list of two
               3,    1,                                                          // true
               2,    0xfe, 255,  255,  255,  255,  255,  255,  255, 0, 0, 0, 0,  // no key
               0,    0,    0}));  // no input, no descriptors, not detached
}

// The numbers are the wire's: a kind that is put between others changes those behind it.
TEST(ChannelMessages, KindsAreNumberedInTheirOrder) {
    std::uint8_t kind = 1;
    for (const auto& message : all_to_session()) EXPECT_EQ(encode(message)[1], kind++);
    kind = 64;
    for (const auto& message : all_to_guard()) EXPECT_EQ(encode(message)[1], kind++);
}

// A session that sends packets of wrong length, version or kind: no message.
TEST(ChannelMessages, EveryTruncatedPrefixIsRefused) {
    each_packet([](const Bytes& packet, auto decode) {
        for (std::size_t size = 0; size < packet.size(); ++size) {
            const Bytes cut(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(size));
            EXPECT_EQ(error_of(decode(cut)),
                      size < header_size ? "message too short" : "wrong length")
                << "kind " << int{packet[1]} << ", " << size << " bytes";
            if (size < header_size) continue;
            // ... and where the length in the header agrees with it.
            EXPECT_EQ(error_of(decode(of_true_length(cut))), "malformed body")
                << "kind " << int{packet[1]} << ", " << size << " bytes";
        }
    });
}

TEST(ChannelMessages, TrailingBytesAreRefused) {
    each_packet([](const Bytes& packet, auto decode) {
        Bytes longer = packet;
        longer.push_back(0);
        EXPECT_EQ(error_of(decode(longer)), "wrong length");
        EXPECT_EQ(error_of(decode(of_true_length(longer))), "malformed body")
            << "kind " << int{packet[1]};
    });
}

TEST(ChannelMessages, EveryOtherHeaderByteIsRefused) {
    each_packet([](const Bytes& packet, auto decode) {
        for (std::size_t at = 0; at < 8; ++at) {
            if (at == 1) continue;  // other kinds: below
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

TEST(ChannelMessages, AnIdWhereThereIsNoneIsRefused) {
    const auto check = [](const auto& messages, auto decode, std::size_t first_request) {
        for (const auto& message : messages) {
            const std::size_t kind = message.body.index();
            auto named = message;
            named.connection = ConnectionId{std::uint64_t{1} << 63};
            EXPECT_EQ(error_of(decode(encode(named))),
                      kind < first_request ? "a connection where there is none" : "none")
                << kind;
            named = message;
            named.request = RequestId{std::uint32_t{1} << 31};
            EXPECT_EQ(error_of(decode(encode(named))),
                      kind < first_request ? "a request where there is none" : "none")
                << kind;
        }
    };
    check(all_to_session(), decode_to_session, request_from_guard);
    check(all_to_guard(), decode_to_guard, request_from_session);
}

TEST(ChannelMessages, KindsOfTheOtherDirectionAndUnknownOnesAreRefused) {
    for (const auto& message : all_to_session())
        EXPECT_FALSE(decode_to_guard(encode(message)).has_value());
    for (const auto& message : all_to_guard())
        EXPECT_FALSE(decode_to_session(encode(message)).has_value());
    for (int kind = 0; kind < 256; ++kind) {
        const Bytes empty_body = packet_of(static_cast<std::uint8_t>(kind), {});
        // Those without fields: SnapshotEnd, CheckPassed, JobOutput, HandedOver, JobStored;
        // UnitCall.
        EXPECT_EQ(decode_to_session(empty_body).has_value(),
                  kind == 5 || kind == 9 || kind == 12 || kind == 23 || kind == 26)
            << kind;
        EXPECT_EQ(decode_to_guard(empty_body).has_value(), kind == 80) << kind;
    }
}

// Of a packet as long as any, with a lie in front of what could be read of it.
TEST(ChannelMessages, WhatIsWrongInFrontIsFoundBeforeAnythingIsAllocated) {
    const auto largest = [](std::uint8_t kind, Bytes body) {
        body.resize(limits::packet_bytes - header_size);
        return packet_of(kind, body);
    };
    const auto longest_in = [](const std::function<bool()>& decoded) {
        longest_allocation = 0;
        EXPECT_FALSE(decoded());
        return longest_allocation;
    };
    // No more than a short text, which says what was wrong.
    constexpr std::size_t text = 64;
    const auto to_session = [&](const Bytes& packet) {
        return longest_in([&packet] { return decode_to_session(packet).has_value(); });
    };
    const auto to_guard = [&](const Bytes& packet) {
        return longest_in([&packet] { return decode_to_guard(packet).has_value(); });
    };
    // Groups and Run's arguments: 2^32-1 of them. Ready and Run's action: a string of 2^32-1 bytes.
    EXPECT_LE(to_session(largest(2, {255, 255, 255, 255})), text);
    EXPECT_LE(to_guard(largest(68, {0, 0, 0, 0, 255, 255, 255, 255})), text);
    EXPECT_LE(to_guard(largest(64, {255, 255, 255, 255})), text);
    EXPECT_LE(to_guard(largest(68, {255, 255, 255, 255})), text);
    // One byte more, or one item more, than there are bytes.
    constexpr std::size_t left = limits::packet_bytes - header_size - 4;
    Bytes one_more(4);
    for (std::size_t i = 0; i < 4; ++i) {
        one_more[i] = static_cast<std::uint8_t>((left + 1) >> (8 * i));
    }
    EXPECT_LE(to_session(largest(2, one_more)), text);
    EXPECT_LE(to_guard(largest(64, one_more)), text);
    // Packets whose body would be read, if it were looked at: version, kind, length.
    const Bytes good = encode({{}, {}, Ready{std::string(limits::packet_bytes - 24, 'x')}});
    ASSERT_TRUE(decode_to_guard(good).has_value());
    for (const std::size_t at : {0U, 1U, 2U, 3U, 4U, 7U, 8U, 15U, 16U, 19U}) {
        Bytes wrong = good;
        wrong[at] ^= 0x80;
        EXPECT_LE(to_guard(wrong), text) << at;
    }
}

TEST(ChannelMessages, AMessageIsAboutABoundedNumberOfConnectionsAndAboutOne) {
    const auto check = [](const auto& sent, auto decode) {
        for (const std::size_t count : {std::size_t{0}, std::size_t{1}, connections_per_message,
                                        connections_per_message + 1}) {
            auto message = sent;
            message.all.resize(count);
            EXPECT_EQ(error_of(decode(encode({{}, {}, message}))),
                      count == 0 || count > connections_per_message ? "no number of connections"
                                                                    : "none");
        }
    };
    check(Connections{}, decode_to_session);
    check(Datagrams{}, decode_to_session);
    check(Accepted{}, decode_to_guard);
    check(Closed{}, decode_to_guard);
    check(Replies{}, decode_to_guard);
}

TEST(ChannelMessages, ValuesOutOfRangeAreRefused) {
    Bytes refused = encode({connection, request, Refused{Refusal::retryable, "", ""}});
    EXPECT_TRUE(decode_to_session(refused).has_value());
    refused[header_size] = 13;
    EXPECT_FALSE(decode_to_session(refused).has_value()) << "a refusal that there is not";
    Bytes ended = encode({connection, request, JobEnded{JobResult{}}});
    ended[header_size] = 8;
    EXPECT_FALSE(decode_to_session(ended).has_value()) << "an outcome that there is not";
    ended[header_size] = 5;
    ended[header_size + 1] = 2;
    EXPECT_FALSE(decode_to_session(ended).has_value()) << "a flag that is neither 0 nor 1";
    Bytes run = encode({connection, request, RunCall{"", {{"", Value(Unsupported{})}}, ""}});
    Bytes& value = run;
    // Behind it: what it is, the key's length, no input, no descriptors, not detached.
    const std::size_t at = run.size() - 9;
    ASSERT_EQ(value[at], 0);
    value[at] = 5;
    EXPECT_FALSE(decode_to_guard(run).has_value()) << "a value that there is not";
    value[at] = 0;
    value[at + 1] = 5;
    EXPECT_FALSE(decode_to_guard(run).has_value()) << "a kind of JSON that there is not";
    Bytes manage = encode({connection, request, ManageCall{Management::jobs, ""}});
    manage[header_size] = 4;
    EXPECT_FALSE(decode_to_guard(manage).has_value()) << "a management that there is not";
    Bytes reply = encode({{}, {}, Replies{{{connection, PacketFault::not_available, ""}}}});
    EXPECT_TRUE(decode_to_guard(reply).has_value());
    reply[header_size + 4 + 8] = 3;  // behind their number and its id
    EXPECT_FALSE(decode_to_guard(reply).has_value()) << "a fault that there is not";
}

TEST(ChannelMessages, TooLongPacketsAreRefused) {
    const std::size_t most = limits::packet_bytes - header_size - 4;
    const Bytes packet = encode({{}, {}, Ready{std::string(most, 'x')}});
    ASSERT_EQ(packet.size(), limits::packet_bytes);
    EXPECT_TRUE(decode_to_guard(packet).has_value());
    EXPECT_EQ(error_of(decode_to_guard(encode({{}, {}, Ready{std::string(most + 1, 'x')}}))),
              "message too long");
}

// More values than a caller can have sent: read no further than to their number.
TEST(ChannelMessages, TooManyValuesAreRefused) {
    const auto check = [](std::size_t in_list, std::size_t arguments) {
        const Value list{std::vector<Scalar>(in_list)};
        return encode(
            {connection, request, CheckCall{"a", Arguments(arguments, NamedValue{"t", list})}});
    };
    EXPECT_TRUE(decode_to_guard(check(limits::json_values - 1, 1)).has_value());
    EXPECT_EQ(error_of(decode_to_guard(check(limits::json_values, 1))), "malformed body");
    EXPECT_TRUE(decode_to_guard(check(limits::json_values / 16 - 1, 16)).has_value());
    EXPECT_EQ(error_of(decode_to_guard(check(limits::json_values / 16, 16))), "malformed body");
    const Bytes worst = check(60'000, 1);
    ASSERT_LE(worst.size(), limits::packet_bytes);
    longest_allocation = 0;
    EXPECT_FALSE(decode_to_guard(worst).has_value());
    EXPECT_LT(longest_allocation, 1024U);
}

// Packets of any bytes, and packets that were messages before some of their bytes were changed:
// none does harm, and what decodes encodes to itself again.
TEST(ChannelMessages, RandomPacketsDoNoHarm) {
    std::mt19937 random(4711);
    std::vector<Bytes> originals;
    each_packet([&](const Bytes& packet, auto /*decode*/) { originals.push_back(packet); });
    std::size_t decoded = 0;
    const auto check = [&decoded](const Bytes& packet, const auto& message) {
        if (!message) return;
        ++decoded;
        EXPECT_EQ(encode(*message), packet);
    };
    for (int i = 0; i < 100'000; ++i) {
        Bytes packet = originals[random() % originals.size()];
        if (i % 2 == 0) {
            packet = packet_of(packet[1], Bytes(random() % 100));
            for (std::size_t at = 8; at < packet.size(); ++at) {
                packet[at] = static_cast<std::uint8_t>(random());
            }
        }
        for (unsigned changes = random() % 4; changes > 0; --changes) {
            packet[random() % packet.size()] = static_cast<std::uint8_t>(random());
        }
        check(packet, decode_to_guard(packet));
        check(packet, decode_to_session(packet));
    }
    EXPECT_GT(decoded, 10'000U);
    EXPECT_LT(decoded, 90'000U);
}

}  // namespace
}  // namespace postern::channel
