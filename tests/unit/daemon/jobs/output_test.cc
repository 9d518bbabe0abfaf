// The output files: who may do what with them, who is told of what, and how much is kept.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/jobs/record/output_file.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::HasSubstr;

class JobsOutput : public JobsTest {
  protected:
    void SetUp() override {
        JobsTest::SetUp();
        if (!IsSkipped()) create();
    }
    [[nodiscard]] static unsigned mode_of(const std::string& path) {
        struct stat status{};
        return stat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
    }
    [[nodiscard]] std::string path(const char* name) const { return open_folder_ + "/" + name; }
};

TEST_F(JobsOutput, ModesWhileItRunsAndAfterwardsWhateverTheUmask) {
    const mode_t before = umask(0777);
    const StoryPtr story = start_shell(wait_for("go"), anna);
    umask(before);
    ASSERT_TRUE(loop_until([&] { return story->started; }));
    EXPECT_EQ(mode_of(folder_ / "state"), 0700U);
    EXPECT_EQ(mode_of(folder_ / "state/jobs"), 0700U);
    EXPECT_EQ(mode_of(job_folder(story)), 0700U);
    for (const char* name : {"/stdout", "/stderr"}) {
        EXPECT_EQ(mode_of(job_folder(story) + name), 0622U) << name;
    }
    let("go");
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    for (const char* name : {"/stdout", "/stderr"}) {
        EXPECT_EQ(mode_of(job_folder(story) + name), 0600U) << name;
    }
}

TEST_F(JobsOutput, AFailedStartLeavesNothingWritable) {
    const StoryPtr story = run(action("/nonexistent"), command({"/nonexistent"}));
    ASSERT_TRUE(story->failure);
    EXPECT_EQ(mode_of(job_folder(story) + "/stdout"), 0600U);
}

TEST_F(JobsOutput, AJobOfAnotherUserCanOpenItsOwnStreamsAgain) {
    const StoryPtr story = run_shell("echo one >/dev/stderr; echo two >>/dev/stdout", anna);
    EXPECT_THAT(story, Exited(0));
    EXPECT_EQ(read_all(story->err), "one\n");
    EXPECT_EQ(read_all(story->out), "two\n");
}

TEST_F(JobsOutput, AnotherUserReachesNeitherFile) {
    const StoryPtr story = start_shell(wait_for("go"), anna);
    ASSERT_TRUE(loop_until([&] { return story->started; }));
    const StoryPtr other = run_shell("echo x >>" + job_folder(story) + "/stdout || cat " +
                                         job_folder(story) + "/stdout || ls " + folder_ / "state",
                                     berta);
    let("go");
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_EQ(read_all(story->out), "");
    EXPECT_EQ(read_all(other->out), "");
    EXPECT_THAT(read_all(other->err), HasSubstr("Permission denied"));
}

TEST_F(JobsOutput, TheFollowersDescriptorsAreForReadingFromTheStart) {
    const StoryPtr story = run_shell("echo out; echo err >&2", anna);
    std::array<char, 16> text{};
    EXPECT_EQ(read(story->out.get(), text.data(), text.size()), 4);
    EXPECT_EQ(write(story->out.get(), "x", 1), -1);
    EXPECT_EQ(fcntl(story->err.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    EXPECT_EQ(read_all(story->err), "err\n");
}

TEST_F(JobsOutput, AwaitedOutputIsToldOnceForEachTime) {
    const StoryPtr story =
        start_shell(wait_for("first") + "echo one; " + wait_for("second") + "echo two >&2; " +
                    wait_for("third") + "echo three; echo four; " + wait_for("end"));
    ASSERT_TRUE(loop_until([&] { return story->started; }));
    manager_->await_output(story->job, first_follower, 0, 0);
    EXPECT_EQ(story->outputs, 0);
    let("first");
    ASSERT_TRUE(loop_until([&] { return story->outputs == 1; }));
    EXPECT_EQ(read_all(story->out), "one\n");
    // Not awaited: not told.
    let("second");
    ASSERT_TRUE(loop_until([&] { return read_all(story->err) == "two\n"; }));
    // Until the manager itself has no reason any more to look at the files.
    for (int round = 0; round < 15; ++round) sd_event_run(loop_.get(), 20'000);
    EXPECT_EQ(story->outputs, 1);
    // It is there already: told at once, but from the loop.
    manager_->await_output(story->job, first_follower, 4, 0);
    EXPECT_EQ(story->outputs, 1);
    ASSERT_TRUE(loop_until([&] { return story->outputs == 2; }));
    // Nothing is there.
    manager_->await_output(story->job, first_follower, 4, 4);
    for (int round = 0; round < 15; ++round) sd_event_run(loop_.get(), 20'000);
    EXPECT_EQ(story->outputs, 2);
    let("third");
    ASSERT_TRUE(loop_until([&] { return story->outputs == 3; }));
    let("end");
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_EQ(story->outputs, 3);
    EXPECT_EQ(read_all(story->out), "one\nthree\nfour\n");
    manager_->await_output(story->job, first_follower, 0, 0);  // it is gone
}

TEST_F(JobsOutput, AReaderThatFollowsGetsEveryByte) {
    const StoryPtr story =
        start_shell("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done", anna);
    std::string text;
    const auto follow = [&] {
        std::array<char, 5000> buffer{};
        ssize_t got = 0;
        while ((got = read(story->out.get(), buffer.data(), buffer.size())) > 0) {
            text.append(buffer.data(), static_cast<std::size_t>(got));
        }
        manager_->await_output(story->job, first_follower, text.size(), 0);
    };
    story->on_started = follow;
    story->on_output = follow;
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    follow();
    std::string expected;
    for (int i = 0; i < 20000; ++i) expected += std::to_string(i) + "\n";
    EXPECT_EQ(text, expected);
    EXPECT_GT(story->outputs, 2);
}

TEST_F(JobsOutput, WhatNobodyCanHaveIsNotBelieved) {
    const StoryPtr story = start_shell("echo short; " + wait_for("end"));
    ASSERT_TRUE(loop_until([&] { return story->out && read_all(story->out) == "short\n"; }));
    const auto taken = [&](std::uint64_t out, std::uint64_t err) {
        return manager_->taken(story->job, first_follower, out, err);
    };
    EXPECT_FALSE(taken(7, 0)) << "more than there is";
    EXPECT_FALSE(taken(6, 1));
    EXPECT_TRUE(taken(6, 0));
    EXPECT_TRUE(taken(6, 0));
    EXPECT_FALSE(taken(5, 0)) << "less than before";
    EXPECT_TRUE(taken(6, not_awaited));
    EXPECT_FALSE(taken(6, 0));
    EXPECT_TRUE(manager_->taken(story->job, first_follower + 1, 1, 0)) << "it has left";
    let("end");
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_TRUE(taken(100, 100)) << "it is over";
}

TEST_F(JobsOutput, OnlyTheNewestIsKept) {
    manager_.reset();
    settings_.stored_output_bytes = 1 << 20;
    create();
    const StoryPtr story =
        start_shell("head -c 20000000 /dev/zero | tr '\\0' x; echo end; " + wait_for("go"), anna);
    struct stat status{};
    // While it runs: a multiple of what is kept is never there for long.
    ASSERT_TRUE(loop_until([&] {
        return story->out && fstat(story->out.get(), &status) == 0 &&
               status.st_size == 20'000'004 && status.st_blocks * 512 < 3 << 20;
    }));
    let("go");
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    ASSERT_EQ(fstat(story->out.get(), &status), 0);
    EXPECT_EQ(status.st_size, 20'000'004);
    EXPECT_LE(status.st_blocks * 512, (1 << 20) + (1 << 17) + 8192);
    const off_t data = lseek(story->out.get(), 0, SEEK_DATA);
    EXPECT_GE(data, 20'000'004 - (1 << 20) - (1 << 17) - 8192);
    EXPECT_LE(data, 20'000'004 - (1 << 20));
    std::string tail(1 << 20, '\0');
    ASSERT_EQ(pread(story->out.get(), tail.data(), tail.size(), 20'000'004 - (1 << 20)), 1 << 20);
    EXPECT_EQ(tail, std::string((1 << 20) - 4, 'x') + "end\n");
}

TEST_F(JobsOutput, TrimmingStartsAnewAfterATruncation) {
    const UniqueFd folder(open(folder_.path().c_str(), O_RDONLY | O_DIRECTORY));
    auto file = OutputFile::create(folder.get(), "file");
    ASSERT_TRUE(file);
    const std::string chunk(40'960, 'x');
    const auto fill = [&] {
        for (int i = 0; i < 10; ++i) {
            ASSERT_EQ(write(file->fd(), chunk.data(), chunk.size()), 40'960);
        }
    };
    const auto stored = [&] {
        struct stat status{};
        EXPECT_EQ(fstat(file->fd(), &status), 0);
        return status.st_blocks * 512;
    };
    fill();
    EXPECT_EQ(file->trim(409'600), 0);
    EXPECT_EQ(stored(), 409'600);
    EXPECT_EQ(file->trim(81'920), 0);
    EXPECT_EQ(stored(), 81'920);
    ASSERT_EQ(ftruncate(file->fd(), 0), 0);
    fill();
    EXPECT_EQ(file->trim(81'920), 0);
    EXPECT_EQ(stored(), 81'920);
    EXPECT_FALSE(OutputFile::create(folder.get(), "file")) << "it was there already";
}

}  // namespace
}  // namespace postern::jobs
