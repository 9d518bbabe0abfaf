// What the service manager is told to store, and how often.
#include "daemon/output/keeper/descriptor_store.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/control_data.h"
#include "tests/unit/daemon/output/keeper/streams.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern::output {
namespace {

using namespace std::chrono_literals;
using test::job;
using Texts = std::vector<std::string>;

class Store : public testing::Test {
  protected:
    void SetUp() override {
        ::setenv("NOTIFY_SOCKET", (folder_ / "notify").c_str(), 1);
        manager_ = ServiceManager::connect();
        ::unsetenv("NOTIFY_SOCKET");
        ASSERT_TRUE(manager_.is_there());
        auto poll = PollSet::create();
        ASSERT_TRUE(poll.has_value());
        poll_ = std::make_unique<PollSet>(std::move(*poll));
        auto workers = Workers::create(*poll_, workers_number);
        ASSERT_TRUE(workers.has_value());
        workers_ = std::move(*workers);
        ASSERT_TRUE(workers_->start());
        store_ = std::make_unique<DescriptorStore>(manager_, *poll_, store_number, *workers_);
    }
    // What was said since the last time. Barriers stay until the test lets them go.
    Texts said() {
        Texts texts;
        for (;;) {
            std::array<char, 256> text{};
            iovec data{text.data(), text.size()};
            DescriptorSpace<1> control;
            msghdr message{};
            message.msg_iov = &data;
            message.msg_iovlen = 1;
            message.msg_control = control.bytes.data();
            message.msg_controllen = control.bytes.size();
            const ssize_t length = ::recvmsg(notices_.get(), &message, MSG_DONTWAIT);
            if (length < 0) return texts;
            texts.emplace_back(text.data(), static_cast<std::size_t>(length));
            auto descriptors = take_descriptors(message);
            if (texts.back() == "BARRIER=1") {
                EXPECT_EQ(descriptors.size(), 1U);
                barriers_.push_back(std::move(descriptors.at(0)));
            }
        }
    }
    // Events, and what threads do for them.
    void run() {
        for (;;) {
            workers_->serve(now_);
            const auto events = poll_->wait(workers_->count_begun() > 0 ? std::optional(10s) : 0s);
            for (const auto& event : events) {
                if (event.data.u64 == workers_number) workers_->take_done(now_);
                if (event.data.u64 == store_number) store_->answered();
            }
            if (events.empty()) return;
        }
    }
    void remove(unsigned number) { store_->remove(out(number), 1, {}); }
    void pass(std::chrono::seconds time) {
        now_ += time;
        store_->pass_time(now_);
    }
    static Mover::Name out(unsigned number) { return {job(number), 0}; }
    static std::string stored(unsigned number) {
        return "FDSTORE=1\nFDNAME=" + job(number).text() + ".out\nFDPOLL=0";
    }
    static std::string removed(unsigned number) {
        return "FDSTOREREMOVE=1\nFDNAME=" + job(number).text() + ".out";
    }

    const TemporaryDirectory folder_;
    const UniqueFd notices_ = socket_at(folder_ / "notify", SOCK_DGRAM);
    static constexpr std::uint64_t workers_number = 1;
    static constexpr std::uint64_t store_number = 2;
    ServiceManager manager_;
    std::vector<UniqueFd> barriers_;
    std::unique_ptr<PollSet> poll_;
    std::unique_ptr<Workers> workers_;
    std::unique_ptr<DescriptorStore> store_;
    const test::Pipe pipe_;
    DescriptorStore::Clock::time_point now_ = DescriptorStore::Clock::now();
};

TEST_F(Store, OnlyWhatHasRunForSomeTimeAndOneInASecond) {
    EXPECT_FALSE(store_->due().has_value());
    for (const unsigned number : {1U, 2U, 3U}) store_->add(out(number), pipe_.read.get(), now_);
    store_->add(out(1), pipe_.read.get(), now_);
    EXPECT_EQ(store_->due(), now_ + 10s);
    pass(9s);
    EXPECT_EQ(said(), Texts{});
    remove(2);
    pass(1s);
    EXPECT_EQ(said(), Texts{stored(1)});
    EXPECT_EQ(store_->due(), now_ + 1s);
    pass(0s);
    EXPECT_EQ(said(), Texts{});
    pass(1s);
    EXPECT_EQ(said(), Texts{stored(3)});
    EXPECT_FALSE(store_->due().has_value());
}

TEST_F(Store, WhatIsLetGoIsRemovedFromItLikewise) {
    store_->add_stored(out(1));
    store_->add(out(2), pipe_.read.get(), now_);
    pass(10s);
    remove(1);
    remove(2);
    remove(3);
    EXPECT_EQ(said(), Texts{stored(2)});
    pass(1s);
    pass(0s);
    EXPECT_EQ(said(), (Texts{removed(1), "BARRIER=1"}));
    barriers_.clear();
    run();
    pass(1s);
    EXPECT_EQ(said(), (Texts{removed(2), "BARRIER=1"}));
    EXPECT_FALSE(store_->due().has_value());
}

// Else the manager would be the last one to close it.
TEST_F(Store, WhatMayBeStoredIsHeldUntilTheManagerHasRemovedIt) {
    std::array<test::Pipe, 4> pipes;
    const auto is_held = [&pipes](unsigned number) {
        return ::write(pipes.at(number).write.get(), "x", 1) == 1;
    };
    const auto let_go = [&](unsigned number) {
        std::vector<UniqueFd> descriptors;
        descriptors.push_back(std::move(pipes.at(number).read));
        store_->remove(out(number), 1, std::move(descriptors));
        run();
    };
    ::signal(SIGPIPE, SIG_IGN);
    store_->add_stored(out(0));
    store_->add(out(1), pipes[1].read.get(), now_);
    pass(10s);
    store_->add(out(2), pipes[2].read.get(), now_);
    said();
    let_go(2);
    EXPECT_FALSE(is_held(2)) << "it was not stored yet";
    let_go(3);
    EXPECT_FALSE(is_held(3)) << "nobody knows it";
    let_go(0);
    let_go(1);
    pass(1s);
    EXPECT_EQ(said(), (Texts{removed(0), "BARRIER=1"}));
    run();
    EXPECT_TRUE(is_held(0));
    // Said while the first question is open: it is for the next one.
    pass(1s);
    EXPECT_EQ(said(), Texts{removed(1)});
    barriers_.clear();
    run();
    EXPECT_FALSE(is_held(0));
    EXPECT_TRUE(is_held(1));
    pass(1s);
    EXPECT_EQ(said(), Texts{"BARRIER=1"});
    barriers_.clear();
    run();
    EXPECT_FALSE(is_held(1));
    EXPECT_FALSE(store_->due().has_value());
    ::signal(SIGPIPE, SIG_DFL);
}

TEST_F(Store, AtTheEndAllAreStoredThatAreNot) {
    store_->add_stored(out(1));
    store_->add(out(2), pipe_.read.get(), now_);
    store_->add(out(3), pipe_.read.get(), now_);
    EXPECT_FALSE(store_->store_all());
    EXPECT_EQ(said(), (Texts{stored(2), stored(3), "BARRIER=1"}));
    EXPECT_FALSE(store_->store_all()) << "the manager is at it";
    EXPECT_EQ(said(), Texts{});
    barriers_.clear();
    run();
    EXPECT_TRUE(store_->store_all());
    EXPECT_EQ(said(), Texts{});
}

TEST_F(Store, AtTheEndNothingIsSaidTwiceToAManagerThatDoesNotRead) {
    for (unsigned number = 1; number <= 500; ++number) {
        store_->add(out(number), pipe_.read.get(), now_);
    }
    Texts texts;
    int rounds = 0;
    for (; !store_->store_all(); ++rounds) {
        std::ranges::move(said(), std::back_inserter(texts));
        barriers_.clear();
        run();
    }
    EXPECT_GT(rounds, 2) << "it took all at once";
    EXPECT_EQ(texts.size(), 501U);
}

// Such as too many descriptors in flight: it is not stored.
TEST_F(Store, WhatCouldNotBeSaidIsSaidAgain) {
    store_->add(out(1), 12345, now_);
    pass(10s);
    EXPECT_EQ(said(), Texts{});
    EXPECT_EQ(store_->due(), now_ + 1s);
}

TEST_F(Store, AManagerThatDoesNotReadIsAskedLater) {
    store_->add(out(1), pipe_.read.get(), now_);
    while (manager_.say("WATCHDOG=1")) {
    }
    pass(10s);
    said();
    EXPECT_EQ(store_->due(), now_ + 1s);
    pass(1s);
    EXPECT_EQ(said(), Texts{stored(1)});
}

TEST_F(Store, WithoutAManagerThereIsNothingToDo) {
    const ServiceManager nobody;
    DescriptorStore store(nobody, *poll_, store_number, *workers_);
    store.add(out(1), pipe_.read.get(), now_);
    EXPECT_FALSE(store.due().has_value());
    store.remove(out(1), 1, {});
    EXPECT_TRUE(store.store_all());
    run();
}

TEST_F(Store, NamesAreReadBackAndOthersAreNone) {
    const auto name = DescriptorStore::parse(DescriptorStore::name_of({job(7), 1}));
    ASSERT_TRUE(name.has_value());
    EXPECT_EQ(name->job, job(7));
    EXPECT_EQ(name->stream, 1);
    const std::string id = job(7).text();
    for (const std::string& other :
         {std::string(), std::string("stored"), id, id + ".ou", id + ".outx", id.substr(1) + ".out",
          "g" + id.substr(1) + ".out", "A" + id.substr(1) + ".out", id + "0.out"}) {
        EXPECT_FALSE(DescriptorStore::parse(other).has_value()) << other;
    }
}

}  // namespace
}  // namespace postern::output
