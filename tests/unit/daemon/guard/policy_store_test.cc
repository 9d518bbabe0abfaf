// Action files are loaded beside the loop, and the last state of the files is the one in force.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "daemon/guard/policy_store.h"
#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

constexpr std::uint64_t patience_usec = 50'000'000;

class PolicyStoreTest : public testing::Test {
  protected:
    void SetUp() override {
        policy::LoadOptions options;
        options.folders = {folder_.path()};
        options.owner = ::geteuid();
        options.system_settings = etc_.path();
        auto store = PolicyStore::create(
            event_.get(), options,
            [this](auto result, std::uint64_t request) {
                loads_.push_back(std::move(result));
                request_ = request;
            },
            [this](auto snapshot) { refreshed_.push_back(std::move(snapshot)); });
        ASSERT_TRUE(store) << store.error().message;
        store_ = std::move(*store);
    }

    void write_action(const std::string& name) const {
        folder_.write(name + ".json", R"({"summary":"s","exec":["/bin/true"],"allow":[]})");
    }
    // Runs the loop until there are this many results.
    void wait_for(std::size_t count) {
        while (loads_.size() < count) ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    }

    void wait_for_refresh() {
        const std::size_t before = refreshed_.size();
        while (refreshed_.size() == before) {
            ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
        }
    }
    // Replaces a file whole, as useradd(8) does.
    void replace(const std::string& name, const std::string& text) const {
        etc_.write(name + ".new", text);
        std::filesystem::rename(etc_ / (name + ".new"), etc_ / name);
    }

    const TemporaryDirectory folder_;
    const TemporaryDirectory etc_;
    EventLoop event_ = make_event_loop();
    std::unique_ptr<PolicyStore> store_;
    std::vector<Result<policy::SnapshotPtr>> loads_;
    std::uint64_t request_ = 0;
    std::vector<policy::SnapshotPtr> refreshed_;
};

TEST_F(PolicyStoreTest, ReadsSubordinateIdsAgainWhenTheyChange) {
    ASSERT_TRUE(store_->sees_changes());
    const auto ranges = [](const policy::SnapshotPtr& snapshot) {
        return snapshot->people.ranges.all();
    };
    using Ranges = std::vector<policy::UidRange>;
    const policy::UidRange first{100000, 100009, 5000};
    const policy::UidRange second{200000, 200009, 5000};
    replace("subuid", "5000:100000:10\n");
    write_action("one");
    store_->load();
    wait_for(1);
    EXPECT_EQ(ranges(*loads_[0]), Ranges{first});
    EXPECT_FALSE((*loads_[0])->people.ranges_kept);

    // The actions stay as they were loaded.
    write_action("two");
    replace("subuid", "5000:200000:10\n");
    while (refreshed_.empty() || ranges(refreshed_.back()).size() < 2) wait_for_refresh();
    EXPECT_EQ(loads_.size(), 1U);
    EXPECT_EQ(refreshed_.back()->actions.size(), 1U);
    // The one that vanished stays too, now and after a reload.
    EXPECT_EQ(ranges(refreshed_.back()), (Ranges{first, second}));
    EXPECT_TRUE(refreshed_.back()->people.ranges_kept);
    store_->load();
    wait_for(2);
    EXPECT_EQ((*loads_[1])->actions.size(), 2U);
    EXPECT_EQ(ranges(*loads_[1]), (Ranges{first, second}));
    EXPECT_EQ(ranges(*loads_[0]), Ranges{first}) << "a snapshot never changes";

    // Where they come from is seen as well.
    replace("nsswitch.conf", "subid: sss\n");
    while (refreshed_.back()->people.ranges_known) wait_for_refresh();
    EXPECT_EQ(ranges(refreshed_.back()), (Ranges{first, second}));
    // What else changes there is not looked at.
    const std::size_t count = refreshed_.size();
    replace("hosts", "");
    store_->load();
    wait_for(3);
    EXPECT_EQ(refreshed_.size(), count);
}

TEST_F(PolicyStoreTest, LoadsWhenAsked) {
    write_action("one");
    store_->load();
    wait_for(1);
    ASSERT_TRUE(loads_[0]) << loads_[0].error().message;
    EXPECT_EQ((*loads_[0])->actions.size(), 1U);
    write_action("two");
    store_->load();
    wait_for(2);
    EXPECT_EQ((*loads_[1])->actions.size(), 2U);
    // The first is as it was: a snapshot never changes.
    EXPECT_EQ((*loads_[0])->actions.size(), 1U);
}

TEST_F(PolicyStoreTest, ManyRequestsEndWithTheLastState) {
    for (int i = 0; i < 20; ++i) {
        write_action("a" + std::to_string(i));
        store_->load();
    }
    while (loads_.empty() || !loads_.back() || (*loads_.back())->actions.size() < 20) {
        ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    }
}

TEST_F(PolicyStoreTest, AFolderThatCannotBeReadIsAnError) {
    std::filesystem::remove_all(folder_.path());
    std::ofstream(folder_.path()) << "no folder";
    store_->load();
    wait_for(1);
    EXPECT_FALSE(loads_[0]);
}

}  // namespace
}  // namespace postern
