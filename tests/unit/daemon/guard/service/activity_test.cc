// What the guard is busy with: told once for many changes, and the reason to leave.
#include "daemon/guard/service/activity.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

class ActivityTest : public testing::Test {
  protected:
    ActivityTest() {
        ::setenv("NOTIFY_SOCKET", (folder_ / "notify").c_str(), 1);
        notice_ = std::make_unique<ServiceNotice>(event_.get());
        ::unsetenv("NOTIFY_SOCKET");
    }
    void make(std::chrono::microseconds idle_time) {
        Activity::Hooks hooks;
        hooks.figures = [this] {
            ++asked_;
            return figures_;
        };
        hooks.idle = [this] { idle_ = true; };
        hooks.looked = [this] { ++looked_; };
        activity_ = std::make_unique<Activity>(event_.get(), *notice_, idle_time, std::move(hooks));
        activity_->set_policy("1 action is loaded");
    }
    std::vector<std::string> said() const {
        std::vector<std::string> all;
        std::array<char, 256> text{};
        for (;;) {
            const ssize_t got = ::recv(manager_.get(), text.data(), text.size(), 0);
            if (got <= 0) return all;
            all.emplace_back(text.data(), static_cast<std::size_t>(got));
        }
    }
    template <typename Holds>
    void run_until(Holds holds) {
        constexpr std::uint64_t patience_usec = 50'000'000;
        while (!holds()) ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    }
    // All that it has by now.
    void run_out() {
        while (sd_event_run(event_.get(), 0) > 0) {
        }
    }

    const TemporaryDirectory folder_;
    const UniqueFd manager_ = socket_at(folder_ / "notify", SOCK_DGRAM | SOCK_NONBLOCK);
    EventLoop event_ = make_event_loop();
    std::unique_ptr<ServiceNotice> notice_;
    Activity::Figures figures_;
    int asked_ = 0;
    int looked_ = 0;
    bool idle_ = false;
    std::unique_ptr<Activity> activity_;
};

TEST_F(ActivityTest, LooksOnceForAllThatChanges) {
    make(std::chrono::microseconds(0));
    for (std::size_t i = 1; i <= 1000; ++i) {
        figures_.connections = i;
        activity_->touch();
    }
    run_out();
    EXPECT_EQ(asked_, 0) << "to touch it costs nothing";
    run_until([this] { return looked_ > 0; });
    EXPECT_EQ(said(), std::vector<std::string>{
                          "STATUS=1 action is loaded; 1000 connections in 0 sessions, 0 jobs"});
    EXPECT_EQ(looked_, 1);
    // Nothing else is said, nor looked at, before there is another change.
    activity_->touch();
    run_until([this] { return looked_ > 1; });
    EXPECT_EQ(said(), std::vector<std::string>{});
    figures_.jobs = 1;
    activity_->touch();
    run_until([this] { return looked_ > 2; });
    EXPECT_EQ(said(), std::vector<std::string>{
                          "STATUS=1 action is loaded; 1000 connections in 0 sessions, 1 job"});
}

TEST_F(ActivityTest, LeavesWhenNothingIsThereForTheTime) {
    make(std::chrono::milliseconds(1));
    figures_.connections = 1;
    activity_->touch();
    run_until([this] { return looked_ > 0; });
    EXPECT_FALSE(idle_);
    // Even where nobody says that it is over.
    figures_.connections = 0;
    run_until([this] { return idle_; });
}

TEST_F(ActivityTest, StaysForTheTime) {
    make(std::chrono::hours(1));
    activity_->touch();
    run_until([this] { return looked_ > 0; });
    EXPECT_FALSE(idle_);
}

TEST_F(ActivityTest, SaysNothingOnceItIsStopped) {
    make(std::chrono::milliseconds(1));
    activity_->touch();
    activity_->stop();
    activity_->touch();
    activity_->look();
    run_out();
    EXPECT_EQ(asked_, 0);
    EXPECT_EQ(looked_, 0);
    EXPECT_FALSE(idle_);
    EXPECT_EQ(said(), std::vector<std::string>{});
}

}  // namespace
}  // namespace postern
