// Action files are loaded beside the loop, and what stands there is what is in force.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/unique_fd.h"
#include "daemon/guard/policy_store.h"
#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/host/fake_accounts.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t patience_usec = 50'000'000;

class PolicyStoreTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(::chmod(folder_.path().c_str(), 0700), 0);
        vendor_ = folder_.make_folder("vendor", 0700);
        local_ = folder_.make_folder("local", 0700);
    }
    void make_store(const std::string& settings) {
        policy::LoadOptions options;
        options.folders = {vendor_, local_};
        options.owner = ::geteuid();
        options.system_settings = settings;
        auto store = PolicyStore::create(
            event_.get(), options,
            [this](const PolicyRead& read, std::uint64_t request) {
                reads_.push_back(read);
                request_ = request;
                if (read.snapshot) in_force_ = read.snapshot;
            },
            retry_);
        ASSERT_TRUE(store) << store.error().message;
        store_ = std::move(*store);
    }
    // Inotify sees no change but those of who is who.
    void start() {
        make_store(etc_.path());
        store_->load();
        wait_for(1);
    }

    static std::string text(const std::string& summary) {
        return R"({"summary":")" + summary + R"(","exec":["/bin/true"],"allow":[]})";
    }
    // Whole, as an editor that is careful does it.
    void put(const std::string& folder, const std::string& name, const std::string& summary) const {
        std::ofstream(folder_ / "new") << text(summary);
        std::filesystem::rename(folder_ / "new", folder + '/' + name + ".json");
    }
    void write_action(const std::string& name) const { put(local_, name, "s"); }
    // Runs the loop until there are this many results.
    void wait_for(std::size_t count) {
        while (reads_.size() < count) ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    }
    // What a call that comes now is decided by: "a=summary b=...".
    std::string decided(const std::string& action) {
        if (store_->is_current(action)) return in_force();
        const std::uint64_t request = store_->look();
        for (;;) {
            EXPECT_GT(sd_event_run(event_.get(), patience_usec), 0);
            if (request_ < request || reads_.empty()) continue;
            if (reads_.back().restless.contains(action)) continue;
            return reads_.back().snapshot ? in_force() : reads_.back().error;
        }
    }
    [[nodiscard]] std::string in_force() const {
        std::string shown;
        for (const auto& [name, action] : in_force_->actions) {
            shown += (shown.empty() ? "" : " ") + name + '=' + action.description.summary;
        }
        return shown;
    }
    [[nodiscard]] std::vector<std::string> bad() const {
        std::vector<std::string> messages;
        for (const policy::BadFile& file : in_force_->bad) {
            std::string message = file.message;
            for (std::size_t at = 0; (at = message.find(folder_.path())) != std::string::npos;) {
                message.replace(at, folder_.path().size(), "T");
            }
            messages.push_back(message);
        }
        return messages;
    }
    // Replaces a file whole, as useradd(8) does.
    void replace(const std::string& name, const std::string& content) const {
        etc_.write(name + ".new", content);
        std::filesystem::rename(etc_ / (name + ".new"), etc_ / name);
    }

    const TemporaryDirectory folder_;
    const TemporaryDirectory etc_;
    std::string vendor_;
    std::string local_;
    EventLoop event_ = make_event_loop();
    std::unique_ptr<PolicyStore> store_;
    std::vector<PolicyRead> reads_;
    policy::SnapshotPtr in_force_;
    std::uint64_t request_ = 0;
    std::chrono::nanoseconds retry_ = PolicyReader::retry_time;
};

TEST_F(PolicyStoreTest, ReadsSubordinateIdsAgainWhenTheyChange) {
    const auto ranges = [](const policy::SnapshotPtr& snapshot) {
        return snapshot->people.ranges.all();
    };
    using Ranges = std::vector<policy::UidRange>;
    const policy::UidRange first{100000, 100009, 5000};
    const policy::UidRange second{200000, 200009, 5000};
    replace("subuid", "5000:100000:10\n");
    write_action("one");
    start();
    ASSERT_TRUE(store_->sees_changes());
    const policy::SnapshotPtr before = in_force_;
    EXPECT_EQ(ranges(before), Ranges{first});
    EXPECT_FALSE(before->people.ranges_kept);

    replace("subuid", "5000:200000:10\n");
    while (ranges(in_force_).size() < 2) wait_for(reads_.size() + 1);
    EXPECT_TRUE(reads_.back().people_changed);
    EXPECT_FALSE(reads_.back().change.any());
    // The one that vanished stays too, now and after a reload.
    EXPECT_EQ(ranges(in_force_), (Ranges{first, second}));
    EXPECT_TRUE(in_force_->people.ranges_kept);
    store_->load();
    wait_for(reads_.size() + 1);
    EXPECT_EQ(ranges(in_force_), (Ranges{first, second}));
    EXPECT_EQ(ranges(before), Ranges{first}) << "a snapshot never changes";

    // Where they come from is seen as well.
    replace("nsswitch.conf", "subid: sss\n");
    while (in_force_->people.ranges_known) wait_for(reads_.size() + 1);
    EXPECT_EQ(ranges(in_force_), (Ranges{first, second}));
    // What else changes there is not looked at.
    const std::size_t count = reads_.size();
    replace("hosts", "");
    store_->load();
    wait_for(count + 1);
    EXPECT_EQ(reads_.size(), count + 1);
    EXPECT_TRUE(reads_.back().same);
}

TEST_F(PolicyStoreTest, LoadsWhenAsked) {
    write_action("one");
    start();
    EXPECT_EQ(in_force(), "one=s");
    const policy::SnapshotPtr before = in_force_;
    write_action("two");
    store_->load();
    wait_for(2);
    EXPECT_EQ(in_force(), "one=s two=s");
    EXPECT_THAT(reads_[1].change.added, ElementsAre("two"));
    EXPECT_EQ(before->actions.size(), 1U) << "a snapshot never changes";
    store_->load();
    wait_for(3);
    EXPECT_TRUE(reads_[2].same);
    EXPECT_EQ(reads_[2].snapshot, reads_[1].snapshot);
}

TEST_F(PolicyStoreTest, ManyRequestsEndWithTheLastState) {
    make_store(etc_.path());
    for (int i = 0; i < 20; ++i) {
        write_action("a" + std::to_string(i));
        store_->load();
    }
    while (!in_force_ || in_force_->actions.size() < 20) {
        ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    }
}

TEST_F(PolicyStoreTest, AFolderThatCannotBeReadKeepsWhatStandsThereStill) {
    put(vendor_, "one", "vendor");
    start();
    std::filesystem::remove_all(local_);
    std::ofstream(local_) << "no folder";
    EXPECT_FALSE(store_->is_current("one"));
    EXPECT_EQ(decided("one"), local_ + " can't be opened: Not a directory");
    EXPECT_EQ(in_force(), "one=vendor");
    EXPECT_FALSE(store_->is_current("one")) << "nothing is decided by it";
}

// ---- Users and groups ----

// Of a name service that nothing in /etc tells of.
TEST_F(PolicyStoreTest, AFileThatIsBadForANameIsTriedAgainByItself) {
    std::optional<FakeAccounts> known(std::in_place);
    std::vector<Account> users = known->users();
    std::vector<FakeGroup> groups = known->groups();
    folder_.write("local/one.json",
                  R"({"summary":"s","exec":["/bin/true"],"allow":[{"user":"late"}]})");
    folder_.write("local/two.json",
                  R"({"summary":"s","exec":["/bin/true"],"allow":[{"group":"late"}]})");
    put(local_, "bad", "\"");
    retry_ = std::chrono::milliseconds(50);
    start();
    EXPECT_EQ(in_force(), "");
    EXPECT_EQ(bad().size(), 3U);
    wait_for(4);
    EXPECT_TRUE(reads_.back().same) << "that it was tried in vain is not said";
    EXPECT_EQ(reads_.back().again, retry_);
    // Here the thread waits for us.
    users.push_back({"late", 4711, 4711, "/", "/bin/sh"});
    groups.push_back({"late", 4711, {}});
    known.emplace(users, groups);
    while (reads_.back().same) wait_for(reads_.size() + 1);
    EXPECT_EQ(in_force(), "one=s two=s");
    EXPECT_THAT(reads_.back().change.added, ElementsAre("one", "two"));
    EXPECT_EQ(in_force_->actions.at("one").allow.at(0).subject.user, 4711);
    EXPECT_EQ(in_force_->actions.at("two").allow.at(0).subject.group, 4711);
    // What is bad for another reason is not tried again.
    EXPECT_EQ(bad().size(), 1U);
    EXPECT_FALSE(reads_.back().again);
}

// Nothing tells of a program but the next call of its action, which costs one more look.
TEST_F(PolicyStoreTest, AProgramThatWasMissingIsSeenByTheNextCall) {
    const std::string program = folder_ / "program";
    folder_.write("local/one.json", R"({"summary":"s","exec":[")" + program + R"("],"allow":[]})");
    put(local_, "bad", "\"");
    start();
    EXPECT_EQ(in_force(), "");
    EXPECT_EQ(bad().size(), 2U);
    EXPECT_EQ(reads_.back().again, retry_);
    EXPECT_TRUE(store_->is_current("one")) << "nothing has changed";
    store_->look();
    wait_for(2);
    EXPECT_TRUE(reads_.back().looked);

    // There, and not executable.
    folder_.write("program", "#!/bin/sh\n", 0644);
    EXPECT_TRUE(store_->is_current("bad"));
    EXPECT_FALSE(store_->is_current("one"));
    EXPECT_EQ(decided("one"), "");
    ASSERT_EQ(::chmod(program.c_str(), 0755), 0);
    EXPECT_FALSE(store_->is_current("one"));
    EXPECT_EQ(decided("one"), "one=s");
    EXPECT_THAT(reads_.back().change.added, ElementsAre("one"));
    EXPECT_TRUE(store_->is_current("one"));
    EXPECT_FALSE(reads_.back().again);
    // From then on it is judged at each start.
    std::filesystem::remove(program);
    EXPECT_TRUE(store_->is_current("one"));
}

// By itself too, for those who do not call: a directory on the way was the reason.
TEST_F(PolicyStoreTest, AFileThatIsBadForItsProgramIsTriedAgainByItself) {
    folder_.make_folder("open", 0777);
    folder_.write("open/program", "#!/bin/sh\n", 0755);
    folder_.write("local/one.json",
                  R"({"summary":"s","exec":[")" + (folder_ / "open/program") + R"("],"allow":[]})");
    retry_ = std::chrono::milliseconds(50);
    start();
    EXPECT_EQ(in_force(), "");
    ASSERT_EQ(::chmod((folder_ / "open").c_str(), 0755), 0);
    while (in_force() != "one=s") wait_for(reads_.size() + 1);
    EXPECT_THAT(reads_.back().change.added, ElementsAre("one"));
}

TEST_F(PolicyStoreTest, ADirectoryThatIsNotSafeChangesNobody) {
    etc_.write("subuid", "5000:100000:10\n");
    folder_.write("local/one.json",
                  R"({"summary":"s","exec":["/bin/true"],"allow":[],"deny":[{"group":"root"}]})");
    start();
    ASSERT_EQ(in_force(), "one=s");
    ASSERT_EQ(::chmod(local_.c_str(), 0777), 0);
    EXPECT_EQ(decided("one"), "");
    EXPECT_FALSE(reads_.back().people_changed);
    EXPECT_THAT(reads_.back().change.off, ElementsAre("one"));
    EXPECT_THAT(reads_.back().change.removed, IsEmpty());
}

TEST_F(PolicyStoreTest, ASetThatCannotBeReadIsTriedAgainByItself) {
    put(vendor_, "one", "s");
    retry_ = std::chrono::milliseconds(50);
    start();
    std::filesystem::remove_all(local_);
    std::ofstream(local_) << "no folder";
    while (reads_.back().snapshot) wait_for(reads_.size() + 1);
    EXPECT_EQ(reads_.back().again, retry_);
}

TEST_F(PolicyStoreTest, EachFileOfWhoIsWhoMakesItReadAgain) {
    write_action("one");
    start();
    for (const std::string_view name : PolicyWatch::people_files) {
        const std::string file(name);
        // Where nothing tells of it, as without inotify; and by itself.
        replace(file, "# a\n");
        const std::uint64_t request = store_->look();
        while (request_ < request) wait_for(reads_.size() + 1);
        EXPECT_FALSE(reads_.back().looked) << name;
        EXPECT_TRUE(reads_.back().same) << name;
        store_->look();
        wait_for(reads_.size() + 1);
        EXPECT_TRUE(reads_.back().looked) << name;
        etc_.write(file, "# b\n");
        while (reads_.back().looked) wait_for(reads_.size() + 1);
    }
}

// ---- What stands there is what is loaded ----

TEST_F(PolicyStoreTest, WhatIsPassedOverIsKnownWhereNothingElseHasChanged) {
    write_action("one");
    std::filesystem::remove_all(vendor_);
    start();
    folder_.write("local/two.conf", "");
    EXPECT_EQ(decided("one"), "one=s");
    ASSERT_EQ(in_force_->passed_over.size(), 1U);
    EXPECT_EQ(in_force_->passed_over[0].file, local_ + "/two.conf");
    EXPECT_FALSE(reads_.back().same);
    EXPECT_FALSE(reads_.back().change.any()) << "so that the audit has no entry";
    std::filesystem::remove(local_ + "/two.conf");
    EXPECT_EQ(decided("one"), "one=s");
    EXPECT_THAT(in_force_->passed_over, IsEmpty());
    ASSERT_EQ(in_force_->missing.size(), 1U);
    EXPECT_EQ(in_force_->missing[0].path, vendor_);
    folder_.make_folder("vendor", 0700);
    EXPECT_EQ(decided("one"), "one=s");
    EXPECT_THAT(in_force_->missing, IsEmpty());
    // One that was there is said to be gone, and that is all.
    std::filesystem::remove_all(vendor_);
    EXPECT_EQ(decided("one"), "one=s");
    EXPECT_THAT(in_force_->missing, IsEmpty());
    EXPECT_EQ(bad().size(), 1U);
}

TEST_F(PolicyStoreTest, WhatIsRemovedAddedOrReplacedIsSeenByTheNextCall) {
    write_action("one");
    start();
    EXPECT_TRUE(store_->is_current("one"));
    EXPECT_TRUE(store_->is_current("none"));
    std::filesystem::remove(local_ + "/one.json");
    EXPECT_FALSE(store_->is_current("one"));
    EXPECT_EQ(decided("one"), "");
    EXPECT_TRUE(store_->is_current("one"));
    put(vendor_, "two", "1");
    EXPECT_EQ(decided("two"), "two=1");
    put(vendor_, "two", "2");
    EXPECT_EQ(decided("two"), "two=2");
    put(local_, "two", "3");
    EXPECT_EQ(decided("two"), "two=3");
    EXPECT_THAT(reads_.back().change.changed, ElementsAre("two"));
}

TEST_F(PolicyStoreTest, AFileThatIsMadeAnewNeverShowsTheOneBelow) {
    put(vendor_, "one", "vendor");
    put(local_, "one", "local");
    start();
    ASSERT_EQ(in_force(), "one=local");
    std::filesystem::remove(local_ + "/one.json");
    store_->look();
    wait_for(2);
    EXPECT_TRUE(reads_[1].restless.contains("one"));
    EXPECT_EQ(in_force(), "one=local") << "which no call is decided by";
    EXPECT_FALSE(store_->is_current("one"));
    put(local_, "one", "new");
    EXPECT_EQ(decided("one"), "one=new");
    for (const PolicyRead& read : reads_) {
        EXPECT_NE(read.snapshot->actions.at("one").description.summary, "vendor");
    }
    // It stays away.
    std::filesystem::remove(local_ + "/one.json");
    EXPECT_EQ(decided("one"), "one=vendor");
}

// The look that is due by then finds what is not at rest, and nobody was to be told.
TEST_F(PolicyStoreTest, WhatARegularLookFindsIsReadAgain) {
    write_action("one");
    start();
    ::usleep(std::chrono::microseconds(PolicyStore::look_time).count());
    std::filesystem::remove(local_ + "/one.json");
    EXPECT_FALSE(store_->is_current("one"));
    while (in_force() != "") ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    EXPECT_TRUE(store_->is_current("one"));
}

TEST_F(PolicyStoreTest, AnEmptyFileMasksOnlyIfItStaysEmpty) {
    put(vendor_, "one", "vendor");
    start();
    folder_.write("local/one.json", "");
    store_->look();
    wait_for(2);
    EXPECT_TRUE(reads_[1].restless.contains("one"));
    folder_.write("local/one.json", text("local"));
    EXPECT_EQ(decided("one"), "one=local");
    folder_.write("local/one.json", "");
    EXPECT_EQ(decided("one"), "");
}

TEST_F(PolicyStoreTest, WhatIsOpenForWritingIsNotRead) {
    put(local_, "one", "old");
    put(local_, "two", "old");
    start();
    UniqueFd writer(::open((local_ + "/one.json").c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    const std::string half = text("half");
    ASSERT_EQ(::write(writer.get(), half.data(), half.size()), static_cast<ssize_t>(half.size()));
    ::usleep(300'000);  // it looks as if it were at rest
    store_->look();
    wait_for(2);
    EXPECT_TRUE(reads_[1].restless.contains("one"));
    EXPECT_FALSE(store_->is_current("one"));
    EXPECT_TRUE(store_->is_current("two"));
    // Who asks is told.
    store_->load();
    wait_for(reads_.size() + 1);
    EXPECT_EQ(in_force(), "two=old");
    EXPECT_THAT(bad(), ElementsAre("T/local/one.json: is open for writing, so it may be half "
                                   "written; it will be read once it is closed"));
    writer.reset();
    while (in_force() != "one=half two=old") {
        ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    }
}

TEST_F(PolicyStoreTest, WhatIsOpenForTooLongIsBad) {
    put(local_, "one", "old");
    start();
    const UniqueFd writer(::open((local_ + "/one.json").c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    EXPECT_FALSE(store_->is_current("one"));
    store_->look();
    while (bad().empty()) ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    EXPECT_EQ(in_force(), "");
    EXPECT_TRUE(store_->is_current("one")) << "a call need not wait any more";
}

TEST_F(PolicyStoreTest, ADirectoryIsReplaced) {
    write_action("one");
    start();
    std::filesystem::rename(local_, folder_ / "old");
    folder_.make_folder("local", 0700);
    put(local_, "two", "s");
    EXPECT_FALSE(store_->is_current("one"));
    EXPECT_EQ(decided("two"), "two=s");
    EXPECT_EQ(decided("one"), "two=s");
}

TEST_F(PolicyStoreTest, ADirectoryThatIsGoneRevokesAndIsNamed) {
    put(vendor_, "one", "s");
    put(local_, "two", "s");
    start();
    std::filesystem::remove_all(local_);
    EXPECT_EQ(decided("two"), "one=s");
    EXPECT_THAT(bad(),
                ElementsAre("T/local: no longer exists, so no action from it is loaded; create it "
                            "again, or restart the daemon if it was removed on purpose"));
    EXPECT_THAT(in_force_->missing, IsEmpty());
    store_->load();
    wait_for(reads_.size() + 1);
    EXPECT_EQ(bad().size(), 1U);
    folder_.make_folder("local", 0700);
    EXPECT_EQ(decided(""), "one=s");
    EXPECT_THAT(bad(), IsEmpty());
}

TEST_F(PolicyStoreTest, WhatLeavesNoActionIsSaid) {
    write_action("one");
    start();
    std::filesystem::remove(local_ + "/one.json");
    EXPECT_EQ(decided("one"), "");
    EXPECT_THAT(bad(), ElementsAre("no action is loaded any more: there is no action file in "
                                   "T/vendor or T/local; put one there"));
}

TEST_F(PolicyStoreTest, NoActionAtTheStartIsNothingToSay) {
    start();
    EXPECT_THAT(bad(), IsEmpty());
}

TEST_F(PolicyStoreTest, AnIdleStoreSeesChangesByItself) {
    write_action("one");
    start();
    write_action("two");
    while (in_force() != "one=s two=s") ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
    std::filesystem::remove(local_ + "/one.json");
    while (in_force() != "two=s") ASSERT_GT(sd_event_run(event_.get(), patience_usec), 0);
}

// A storm in one file puts off no other one, and none for ever.
TEST_F(PolicyStoreTest, AStormPutsNothingOff) {
    start();
    write_action("two");
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    bool seen_two = false;
    bool seen_one = false;
    for (int i = 0; !(seen_one && seen_two); ++i) {
        ASSERT_LT(std::chrono::steady_clock::now(), until);
        put(local_, "one", std::to_string(i));
        sd_event_run(event_.get(), 20'000);
        seen_two = seen_two || in_force_->actions.contains("two");
        seen_one = seen_one || in_force_->actions.contains("one");
    }
}

}  // namespace
}  // namespace postern
