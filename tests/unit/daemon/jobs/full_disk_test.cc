// A disk without room: what starts, what goes on, and what is remembered.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::HasSubstr;

// A full disk, for real: a small file system of its own.
// Parameter: whether records lie in memory until they are on it.
class FullDisk : public JobsTest, public testing::WithParamInterface<bool> {
  protected:
    void SetUp() override {
        JobsTest::SetUp();
        if (IsSkipped()) return;
        ASSERT_EQ(mkdir((folder_ / "state").c_str(), 0700), 0);
        if (mount("tmpfs", (folder_ / "state").c_str(), "tmpfs", 0, "size=256k,mode=0700") < 0) {
            GTEST_SKIP() << "tmpfs can't be mounted here";
        }
        mounted_ = true;
        if (GetParam()) settings_.runtime_folder = runtime_.path();
    }
    void TearDown() override {
        manager_.reset();
        if (mounted_) umount2((folder_ / "state").c_str(), MNT_DETACH);
        JobsTest::TearDown();
    }
    void fill() {
        const UniqueFd file(
            ::open((folder_ / "state/fill").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        const std::string block(4096, 'x');
        while (write(file.get(), block.data(), block.size()) > 0) {
        }
        ASSERT_EQ(errno, ENOSPC);
    }
    const TemporaryDirectory runtime_{0700, "/dev/shm"};
    bool mounted_ = false;
};

TEST_P(FullDisk, NothingNewStartsWhatRunsGoesOnAndItsEndIsRecorded) {
    create();
    const std::string go = open_folder_ + "/go";
    const StoryPtr story =
        start_shell("while [ ! -s " + go + " ]; do sleep 0.01; done; exit 9", anna);
    ASSERT_TRUE(loop_until([&] { return story->started; }));
    fill();
    bool asked = false;
    const auto refused = manager_->start(shell_action(), shell("true"), {}, {}, {},
                                         [&](const JobId&) { return asked = true; });
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("No space left on device"));
    EXPECT_FALSE(asked);
    EXPECT_EQ(manager_->active(), 1U);
    write_path(go, "go\n", 0644);
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_THAT(story, Exited(9));
    // However full it is.
    ASSERT_TRUE(loop_until([&] { return std::filesystem::is_empty(runtime_.path()); }));
    EXPECT_EQ(record_of(story).state, RecordState::ended);
    EXPECT_EQ(record_of(story).result, *story->result);
    ASSERT_EQ(unlink((folder_ / "state/fill").c_str()), 0);
    EXPECT_THAT(run_shell("exit 8"), Exited(8));
}

INSTANTIATE_TEST_SUITE_P(Records, FullDisk, testing::Bool());

}  // namespace
}  // namespace postern::jobs
