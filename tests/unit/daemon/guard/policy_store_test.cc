// Action files are loaded beside the loop, and the last state of the files is the one in force.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "daemon/guard/policy_store.h"

namespace postern {
namespace {

constexpr std::uint64_t patience_usec = 50'000'000;

class PolicyStoreTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = "/tmp/postern-store-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder_ = name;
        sd_event* event = nullptr;
        ASSERT_GE(sd_event_new(&event), 0);
        event_.reset(event);
        policy::LoadOptions options;
        options.folders = {folder_};
        options.owner = ::geteuid();
        auto store =
            PolicyStore::create(event, options, [this](auto result, std::uint64_t request) {
                loads_.push_back(std::move(result));
                request_ = request;
            });
        ASSERT_TRUE(store) << store.error().message;
        store_ = std::move(*store);
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    void write_action(const std::string& name) const {
        const std::string path = folder_ + "/" + name + ".json";
        std::ofstream(path) << R"({"summary":"s","exec":["/bin/true"],"allow":[]})";
        ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
    }
    // Runs the loop until there are this many results.
    void wait_for(std::size_t count) {
        while (loads_.size() < count) ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    }

    std::string folder_;
    EventLoop event_;
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
    std::filesystem::remove_all(folder_);
    std::ofstream(folder_) << "no folder";
    store_->load();
    wait_for(1);
    EXPECT_FALSE(loads_[0]);
}

}  // namespace
}  // namespace postern
