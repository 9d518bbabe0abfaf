// Whose daemon it is that is waited for.
#include "ctl/wire/waiting.h"

#include <gtest/gtest.h>

#include <string>

namespace postern::ctl {
namespace {

TEST(Waiting, NamesTheUnitOfTheSocket) {
    const SocketEnvironment environment{"", "", "/run/user/1000", ""};
    for (const char* path : {system_socket, system_datagram_socket, system_admin_socket}) {
        EXPECT_EQ(waiting_text(path, environment),
                  "waiting for the daemon; the administrator sees why it does not answer with: "
                  "journalctl -u posternd.service");
    }
    for (const char* path : {user_socket, user_datagram_socket, user_admin_socket}) {
        EXPECT_EQ(waiting_text("/run/user/1000" + std::string(path), environment),
                  "waiting for the daemon; journalctl --user -u posternd.service shows why it does "
                  "not answer");
    }
    EXPECT_EQ(waiting_text("/srv/s.sock", environment),
              "waiting for the daemon at /srv/s.sock; its log shows why it does not answer");
}

TEST(Waiting, PollsNoLongerThanUntilItIsToBeSaid) {
    Silence silence;
    EXPECT_EQ(silence.bound(10, "/srv/s.sock"), 10);
    const int bound = silence.bound(-1, "/srv/s.sock");
    EXPECT_GT(bound, 0);
    EXPECT_LE(bound, 3000);
}

}  // namespace
}  // namespace postern::ctl
