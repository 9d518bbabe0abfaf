// What the guard tells its launcher: bytes that decode to the same, and no others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/launcher/order.h"

namespace postern::launcher {
namespace {

Order example() {
    Order order;
    order.uid = 4294967294U;
    order.gid = 2147483648U;
    order.groups = {0, 27, 2147483648U};
    order.join_cgroup = true;
    order.open_files = 1ULL << 40;
    order.program = "/bin/true";
    order.working_directory = "/";
    order.argv = {"/bin/true", "", "${PATH} \xff"};
    order.environment = {"PATH=/bin", "EMPTY="};
    return order;
}

TEST(LaunchOrder, ComesBackAsItWas) {
    const auto bytes = encode(example());
    ASSERT_TRUE(bytes);
    const auto order = decode(*bytes);
    ASSERT_TRUE(order);
    EXPECT_EQ(*order, example());
}

TEST(LaunchOrder, EveryCutAndEveryByteTooManyIsRefused) {
    auto bytes = *encode(example());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode(std::span(bytes).first(size))) << size;
    }
    bytes.push_back(0);
    EXPECT_FALSE(decode(bytes));
}

TEST(LaunchOrder, LengthsThatLieAreRefusedBeforeAnythingIsReserved) {
    auto bytes = *encode(example());
    constexpr std::size_t group_count_at = 1 + 4 + 4;
    for (std::size_t i = 0; i < 4; ++i) bytes[group_count_at + i] = 0xff;
    EXPECT_FALSE(decode(bytes));
}

TEST(LaunchOrder, AnotherVersionOrBoolIsRefused) {
    auto bytes = *encode(example());
    bytes[0] = 2;
    EXPECT_FALSE(decode(bytes));
    bytes = *encode(example());
    constexpr std::size_t join_at = 1 + 4 + 4 + 4 + 3 * 4;
    ASSERT_EQ(bytes[join_at], 1);
    bytes[join_at] = 2;
    EXPECT_FALSE(decode(bytes));
}

TEST(LaunchOrder, ANulByteWouldCutATextAndIsRefused) {
    Order order = example();
    order.argv.emplace_back("a\0b", 3);
    EXPECT_FALSE(encode(order));
    order = example();
    order.environment.emplace_back("A=a\0B=b", 7);
    EXPECT_FALSE(encode(order));
    // And on the other side: the text "/bin/true" with its first letter zeroed.
    auto bytes = *encode(example());
    bytes[bytes.size() - 1] = 0;
    EXPECT_FALSE(decode(bytes));
}

TEST(LaunchOrder, WithoutArgumentsOrTooLargeItIsRefused) {
    Order order = example();
    order.argv.clear();
    EXPECT_FALSE(encode(order));
    order = example();
    order.argv.emplace_back(order_bytes, 'x');
    EXPECT_FALSE(encode(order));
    order.argv.back().resize(order_bytes / 2);
    EXPECT_TRUE(encode(order));
}

TEST(LaunchReport, EveryStageComesBackAndHasWords) {
    for (int stage = 0; stage <= static_cast<int>(Stage::exec); ++stage) {
        const Report report{static_cast<Stage>(stage), 13};
        const auto back = decode_report(encode(report));
        ASSERT_TRUE(back);
        EXPECT_EQ(back->stage, report.stage);
        EXPECT_EQ(back->error, 13);
        EXPECT_NE(doing(report.stage), "an unknown stage");
    }
    ReportBytes bytes = encode(Report{});
    bytes[0] = static_cast<std::uint8_t>(Stage::exec) + 1;
    EXPECT_FALSE(decode_report(bytes));
    EXPECT_FALSE(decode_report(std::span(bytes).first(7)));
}

}  // namespace
}  // namespace postern::launcher
