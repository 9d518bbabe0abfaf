// The service manager is told, and never waited for.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/guard/service/service_notice.h"

namespace postern {
namespace {

class ServiceNoticeTest : public testing::Test {
  protected:
    void SetUp() override {
        sd_event* event = nullptr;
        ASSERT_GE(sd_event_new(&event), 0);
        event_.reset(event);
        path_ = "/tmp/postern-notice-" + std::to_string(::getpid());
        manager_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
        ::unlink(path_.c_str());
        ASSERT_EQ(
            ::bind(manager_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        ::setenv("NOTIFY_SOCKET", path_.c_str(), 1);
    }
    void TearDown() override {
        ::unsetenv("NOTIFY_SOCKET");
        ::unlink(path_.c_str());
    }
    std::string read_one() const {
        std::array<char, 256> text{};
        const ssize_t got = ::recv(manager_.get(), text.data(), text.size(), 0);
        return got < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(got));
    }

    EventLoop event_;
    std::string path_;
    UniqueFd manager_;
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
