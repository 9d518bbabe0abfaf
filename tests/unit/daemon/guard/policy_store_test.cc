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
        auto store =
            PolicyStore::create(event_.get(), options, [this](auto result, std::uint64_t request) {
                loads_.push_back(std::move(result));
                request_ = request;
            });
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

    const TemporaryDirectory folder_;
    EventLoop event_ = make_event_loop();
    std::unique_ptr<PolicyStore> store_;
    std::vector<Result<policy::SnapshotPtr>> loads_;
    std::uint64_t request_ = 0;
};

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
