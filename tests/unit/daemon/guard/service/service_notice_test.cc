// The service manager is told, and never waited for.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/guard/service/service_notice.h"
#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

class ServiceNoticeTest : public testing::Test {
  protected:
    void SetUp() override { ::setenv("NOTIFY_SOCKET", (folder_ / "notify").c_str(), 1); }
    void TearDown() override { ::unsetenv("NOTIFY_SOCKET"); }
    std::string read_one() const {
        std::array<char, 256> text{};
        const ssize_t got = ::recv(manager_.get(), text.data(), text.size(), 0);
        return got < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(got));
    }

    const TemporaryDirectory folder_;
    const UniqueFd manager_ = socket_at(folder_ / "notify", SOCK_DGRAM | SOCK_NONBLOCK);
    EventLoop event_ = make_event_loop();
};

TEST_F(ServiceNoticeTest, SaysWhatItIsTold) {
    ServiceNotice notice(event_.get());
    notice.say("READY=1");
    notice.say_status("busy");
    EXPECT_EQ(read_one(), "READY=1");
    EXPECT_EQ(read_one(), "STATUS=busy");
    EXPECT_EQ(read_one(), "");
}

// As many as there is room for; then it would stand still.
TEST_F(ServiceNoticeTest, NeverWaitsAndSaysTheRestLater) {
    ServiceNotice notice(event_.get());
    constexpr int many = 40;  // a queue has net.unix.max_dgram_qlen, 10 by default
    for (int i = 0; i < many; ++i) {
        notice.say("N=" + std::to_string(i));
        notice.say_status(std::to_string(i));
    }
    std::vector<std::string> said;
    constexpr std::uint64_t patience_usec = 50'000'000;
    while (said.empty() || said.back() != "STATUS=39") {
        for (std::string one = read_one(); !one.empty(); one = read_one()) said.push_back(one);
        if (said.back() == "STATUS=39") break;
        ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    }
    // Each of the notices once and in order; of the status the last one for certain.
    int next = 0;
    for (const std::string& one : said) {
        if (!one.starts_with("N=")) continue;
        EXPECT_EQ(one, "N=" + std::to_string(next++));
    }
    EXPECT_EQ(next, many);
}

TEST_F(ServiceNoticeTest, NobodyAsked) {
    ::unsetenv("NOTIFY_SOCKET");
    ServiceNotice notice(event_.get());
    notice.say("READY=1");
    notice.keep_alive();
    EXPECT_EQ(read_one(), "");
}

TEST_F(ServiceNoticeTest, KeepsAlive) {
    ::setenv("WATCHDOG_USEC", "20000", 1);
    ServiceNotice notice(event_.get());
    notice.keep_alive();
    EXPECT_EQ(read_one(), "WATCHDOG=1");
    ASSERT_GT(sd_event_run(event_.get(), 50'000'000), 0);
    EXPECT_EQ(read_one(), "WATCHDOG=1");
    ::unsetenv("WATCHDOG_USEC");
}

}  // namespace
}  // namespace postern
