// What the service manager is told to store, and how often.
#include "daemon/output/keeper/descriptor_store.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

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
    }
    // What was said since the last time, without the first lines' ends.
    Texts said() {
        Texts texts;
        std::array<char, 256> text{};
        for (;;) {
            const ssize_t length = ::recv(notices_.get(), text.data(), text.size(), MSG_DONTWAIT);
            if (length < 0) return texts;
            texts.emplace_back(text.data(), static_cast<std::size_t>(length));
        }
    }
    void pass(std::chrono::seconds time) {
        now_ += time;
        store_.pass_time(now_);
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
    ServiceManager manager_;
    DescriptorStore store_{manager_};
    const test::Pipe pipe_;
    DescriptorStore::Clock::time_point now_ = DescriptorStore::Clock::now();
};

TEST_F(Store, OnlyWhatHasRunForSomeTimeAndOneInASecond) {
    EXPECT_FALSE(store_.due().has_value());
    for (const unsigned number : {1U, 2U, 3U}) store_.add(out(number), pipe_.read.get(), now_);
    store_.add(out(1), pipe_.read.get(), now_);
    EXPECT_EQ(store_.due(), now_ + 10s);
    pass(9s);
    EXPECT_EQ(said(), Texts{});
    store_.remove(out(2));
    pass(1s);
    EXPECT_EQ(said(), Texts{stored(1)});
    EXPECT_EQ(store_.due(), now_ + 1s);
    pass(0s);
    EXPECT_EQ(said(), Texts{});
    pass(1s);
    EXPECT_EQ(said(), Texts{stored(3)});
    EXPECT_FALSE(store_.due().has_value());
}

TEST_F(Store, WhatIsLetGoIsRemovedFromItLikewise) {
    store_.add_stored(out(1));
    store_.add(out(2), pipe_.read.get(), now_);
    pass(10s);
    store_.remove(out(1));
    store_.remove(out(2));
    store_.remove(out(3));
    EXPECT_EQ(said(), Texts{stored(2)});
    pass(1s);
    pass(0s);
    EXPECT_EQ(said(), Texts{removed(1)});
    pass(1s);
    EXPECT_EQ(said(), Texts{removed(2)});
    EXPECT_FALSE(store_.due().has_value());
}

TEST_F(Store, AtTheEndAllAreStoredThatAreNot) {
    store_.add_stored(out(1));
    store_.add(out(2), pipe_.read.get(), now_);
    store_.add(out(3), pipe_.read.get(), now_);
    store_.store_all();
    EXPECT_EQ(said(), (Texts{stored(2), stored(3)}));
}

TEST_F(Store, AManagerThatDoesNotReadIsAskedLater) {
    store_.add(out(1), pipe_.read.get(), now_);
    while (manager_.say("WATCHDOG=1")) {
    }
    pass(10s);
    said();
    EXPECT_EQ(store_.due(), now_ + 1s);
    pass(1s);
    EXPECT_EQ(said(), Texts{stored(1)});
}

TEST_F(Store, WithoutAManagerThereIsNothingToDo) {
    const ServiceManager nobody;
    DescriptorStore store(nobody);
    store.add(out(1), pipe_.read.get(), now_);
    EXPECT_FALSE(store.due().has_value());
    store.remove(out(1));
    store.store_all();
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
