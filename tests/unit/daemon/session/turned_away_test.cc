#include "model/turned_away.h"

#include <gtest/gtest.h>

#include "protocol/call.h"
#include "protocol/reply.h"

namespace postern::session {
namespace {

// The guard's constant bytes are what the protocol would make of them.
TEST(TurnedAway, IsTheProtocolsOwnReply) {
    for (const TurnedAway& row : turned_away) {
        EXPECT_EQ(reply_of(row),
                  protocol::encode_error(protocol::errors::limit_reached,
                                         {{"limit", row.limit}, {"message", row.message}}, '\0'));
        const std::string reply = reply_of(row);
        const auto read =
            protocol::decode_reply(std::string_view(reply).substr(0, reply.size() - 1));
        ASSERT_TRUE(read) << row.limit;
        EXPECT_NE(std::string(row.message).find("(limit " + std::string(row.limit) + ")"),
                  std::string::npos);
        EXPECT_EQ(find_turned_away(row.limit), &row);
    }
    EXPECT_EQ(find_turned_away(""), nullptr);
    EXPECT_EQ(find_turned_away("jobs"), nullptr);
}

}  // namespace
}  // namespace postern::session
