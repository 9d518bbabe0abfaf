#include "daemon/guard/sessions/packet_load.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(PacketLoad, IsFullAtTheBoundOfPacketsUntilHalfIsAnswered) {
    PacketLoad load(4, 1000);
    for (int i = 0; i < 3; ++i) load.add(1);
    EXPECT_FALSE(load.is_full());
    load.add(1);
    EXPECT_TRUE(load.is_full());
    load.remove(1, 1);
    EXPECT_TRUE(load.is_full()) << "3 of 4 are more than half";
    load.remove(1, 1);
    EXPECT_FALSE(load.is_full());
    EXPECT_EQ(load.packets(), 2U);
    EXPECT_EQ(load.bytes(), 2U);
}

TEST(PacketLoad, IsFullAtTheBoundOfBytesUntilHalfIsAnswered) {
    PacketLoad load(100, 1000);
    load.add(400);
    load.add(700);
    EXPECT_TRUE(load.is_full());
    load.remove(1, 400);
    EXPECT_TRUE(load.is_full()) << "700 of 1000 are more than half";
    load.remove(1, 700);
    EXPECT_FALSE(load.is_full());
}

TEST(PacketLoad, BothMustHaveRoomAgain) {
    PacketLoad load(2, 1000);
    load.add(10);
    load.add(990);
    EXPECT_TRUE(load.is_full());
    load.remove(1, 10);
    EXPECT_TRUE(load.is_full()) << "there is room for a packet, not for its bytes";
    load.remove(1, 990);
    EXPECT_FALSE(load.is_full());
}

}  // namespace
}  // namespace postern
