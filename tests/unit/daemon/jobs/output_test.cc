// What jobs write: who may do what with it, who is told of what, for whom a job waits, and how much
// is kept.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "base/limits.h"
#include "daemon/output/stored_file.h"
#include "tests/unit/daemon/hung_writer.h"
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

// The guard's umask is its own (daemon/guard/main.cc): it takes nothing from what a job's files are
// made with. Where it were a laxer one they would be no different.
TEST_F(JobsOutput, ModesWithTheGuardsUmaskAndWithNone) {
    for (const mode_t mask : {0077U, 0U}) {
        const mode_t before = umask(mask);
        const StoryPtr story =
            run_shell("ls -lL /proc/self/fd/1 /proc/self/fd/2 >" + path("list"), anna);
        umask(before);
        EXPECT_THAT(story, Exited(0));
        EXPECT_EQ(mode_of(folder_ / "state"), 0700U);
        EXPECT_EQ(mode_of(folder_ / "state/jobs"), 0700U);
        EXPECT_EQ(mode_of(job_folder(story)), 0700U);
        for (const char* name : {"/stdout", "/stderr"}) {
            EXPECT_EQ(mode_of(job_folder(story) + name), 0600U) << name;
        }
    }
}

TEST_F(JobsOutput, StreamsArePipesThatTheKeeperMade) {
    const StoryPtr story = run_shell("stat -L -c '%F %a %u' /proc/self/fd/2 >&2", anna);
    EXPECT_THAT(story, Exited(0));
    EXPECT_EQ(read_all(story->err), "fifo 622 " + std::to_string(keeper_user) + "\n");
}

TEST_F(JobsOutput, AFailedStartLeavesNothingWritable) {
    const StoryPtr story = run(action("/nonexistent"), command({"/nonexistent"}));
    ASSERT_TRUE(story->failure);
    EXPECT_EQ(mode_of(job_folder(story) + "/stdout"), 0600U);
}

TEST_F(JobsOutput, AJobOfAnotherUserCanOpenItsOwnStreamsAgain) {
    const StoryPtr story = run_shell(
        "echo one >/dev/stderr; echo two >>/dev/stdout; echo three >/dev/stderr; echo four >&2; "
        "echo five | tee /dev/stdout; echo six | cp /dev/stdin /dev/stderr",
        anna);
    EXPECT_THAT(story, Exited(0));
    EXPECT_EQ(read_all(story->err), "one\nthree\nfour\nsix\n");
    EXPECT_EQ(read_all(story->out), "two\nfive\nfive\n");
}

TEST_F(JobsOutput, BothStreamsAsOne) {
    policy::Action both = shell_action(anna);
    both.merge_stderr = true;
    const StoryPtr story =
        run(both, shell("echo one; echo two >&2; echo three >/dev/stderr; echo 4"));
    EXPECT_THAT(story, Exited(0));
    EXPECT_EQ(read_all(story->out), "one\ntwo\nthree\n4\n");
    EXPECT_EQ(read_all(story->err), "");
}

// One that does not wait is told so on that stream alone.
TEST_F(JobsOutput, BothStreamsAsOneHaveFlagsOfTheirOwn) {
    policy::Action both = shell_action(anna);
    both.merge_stderr = true;
    const StoryPtr story =
        run(both, shell("grep flags /proc/self/fdinfo/1; "
                        "perl -MFcntl -e 'fcntl(STDERR, F_SETFL, O_NONBLOCK | O_WRONLY)'; "
                        "grep flags /proc/self/fdinfo/1"));
    EXPECT_THAT(story, Exited(0));
    const std::string text = read_all(story->out);
    EXPECT_EQ(text.substr(0, text.size() / 2), text.substr(text.size() / 2));
    EXPECT_THAT(text, HasSubstr("flags"));
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
    EXPECT_TRUE(taken(100, 100)) << "it has ended";
}

constexpr std::uint64_t many = 20'000'000;
const std::string writes_many = "head -c 20000000 /dev/zero | tr '\\0' x; ";

// Reads on from where it is, and says that it has that.
struct SlowReader {
    explicit SlowReader(JobManager& jobs, StoryPtr of) : manager(jobs), story(std::move(of)) {}
    JobManager& manager;
    StoryPtr story;
    std::uint64_t had = 0;
    bool whole = true;  // nothing but what was written

    void take(std::size_t most) {
        std::string text(most, '\0');
        const ssize_t got = pread(story->out.get(), text.data(), most, static_cast<off_t>(had));
        if (got <= 0) return;
        text.resize(static_cast<std::size_t>(got));
        whole = whole && text.find_first_not_of('x') == std::string::npos;
        had += text.size();
        EXPECT_TRUE(manager.taken(story->job, first_follower, had, 0));
    }
};

TEST_F(JobsOutput, AJobWaitsForWhoFollows) {
    manager_.reset();
    settings_.stored_output_bytes = 4096;
    create();
    const StoryPtr story = start_shell(writes_many, anna);
    ASSERT_TRUE(loop_until([&] { return story->started; }));
    SlowReader reader(*manager_, story);
    std::uint64_t most_ahead = 0;
    ASSERT_TRUE(loop_until([&] {
        reader.take(300'000);
        struct stat status{};
        EXPECT_EQ(fstat(story->out.get(), &status), 0);
        most_ahead = std::max(most_ahead, static_cast<std::uint64_t>(status.st_size) - reader.had);
        return story->over() && reader.had == many;
    }));
    EXPECT_TRUE(reader.whole);
    EXPECT_GT(most_ahead, 0U);
    EXPECT_LE(most_ahead, limits::follower_window_bytes + (1U << 16));
}

TEST_F(JobsOutput, WhoStandsStillHoldsItUpForALimitedTime) {
    manager_.reset();
    settings_.stored_output_bytes = 4096;
    settings_.follower_stall = std::chrono::milliseconds(300);
    create();
    const StoryPtr story = start_shell(writes_many, anna);
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_THAT(story, Exited(0));
    struct stat status{};
    ASSERT_EQ(fstat(story->out.get(), &status), 0);
    EXPECT_EQ(status.st_size, static_cast<off_t>(many));
    // A gap that readers see.
    EXPECT_GT(lseek(story->out.get(), 0, SEEK_DATA), 0);
}

TEST_F(JobsOutput, WhoLeavesHoldsNothingUp) {
    const StoryPtr story = start_shell(wait_for("go") + writes_many, anna);
    ASSERT_TRUE(loop_until([&] { return story->started; }));
    manager_->leave(story->job, first_follower, Leaving::gone);
    let("go");
    ASSERT_TRUE(loop_until([&] { return manager_->active() == 0; }));
    EXPECT_EQ(record_of(story).result.outcome, Outcome::exited);
}

// Its client may come back, and then misses nothing.
TEST_F(JobsOutput, WhoWasInterruptedIsWaitedFor) {
    manager_.reset();
    settings_.stored_output_bytes = 4096;
    create();
    const StoryPtr first = start_shell(writes_many, anna);
    ASSERT_TRUE(loop_until([&] { return first->started; }));
    SlowReader before(*manager_, first);
    ASSERT_TRUE(loop_until([&] {
        before.take(300'000);
        return before.had > many / 2;
    }));
    manager_->leave(first->job, first_follower, Leaving::interrupted);
    for (int round = 0; round < 20; ++round) sd_event_run(loop_.get(), 20'000);
    EXPECT_EQ(manager_->active(), 1U);
    const auto second = std::make_shared<Story>();
    second->job = first->job;
    const auto id = manager_->follow(first->job, follower(second));
    ASSERT_TRUE(id);
    ASSERT_TRUE(loop_until([&] { return second->started; }));
    std::uint64_t had = before.had;
    bool whole = before.whole;
    ASSERT_TRUE(loop_until([&] {
        std::string text(300'000, '\0');
        const ssize_t got =
            pread(second->out.get(), text.data(), text.size(), static_cast<off_t>(had));
        text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        whole = whole && text.find_first_not_of('x') == std::string::npos;
        had += text.size();
        EXPECT_TRUE(manager_->taken(first->job, *id, had, 0));
        return second->over() && had == many;
    }));
    EXPECT_TRUE(whole);
}

TEST_F(JobsOutput, OnlyTheNewestIsKept) {
    manager_.reset();
    settings_.stored_output_bytes = 1 << 20;
    create();
    const StoryPtr story = start_shell(wait_for("go") + writes_many + "echo end", anna);
    ASSERT_TRUE(loop_until([&] { return story->started; }));
    manager_->leave(story->job, first_follower, Leaving::gone);
    let("go");
    ASSERT_TRUE(loop_until([&] { return manager_->active() == 0; }));
    struct stat status{};
    ASSERT_EQ(fstat(story->out.get(), &status), 0);
    EXPECT_EQ(status.st_size, 20'000'004);
    EXPECT_LE(status.st_blocks * 512, (1 << 20) + (1 << 17) + (1 << 18));
    const off_t data = lseek(story->out.get(), 0, SEEK_DATA);
    EXPECT_GE(data, 20'000'004 - (1 << 20) - (1 << 17) - (1 << 18));
    EXPECT_LE(data, 20'000'004 - (1 << 20));
    std::string tail(1 << 20, '\0');
    ASSERT_EQ(pread(story->out.get(), tail.data(), tail.size(), 20'000'004 - (1 << 20)), 1 << 20);
    EXPECT_EQ(tail, std::string((1 << 20) - 4, 'x') + "end\n");
}

TEST_F(JobsOutput, WhatIsNotToBeStoredReachesWhoFollowsAndGoes) {
    manager_.reset();
    settings_.follower_stall = std::chrono::seconds(1);
    create();
    policy::Action kept_nowhere = shell_action(anna);
    kept_nowhere.stored_output = 0;
    const StoryPtr story = run(kept_nowhere, shell("echo out; echo err >&2"));
    EXPECT_THAT(story, Exited(0));
    EXPECT_EQ(read_all(story->out), "out\n");
    EXPECT_EQ(read_all(story->err), "err\n");
    // Who comes back soon is told the end, and misses nothing.
    auto again = manager_->open_output(story->job);
    ASSERT_TRUE(again);
    EXPECT_EQ(read_all((*again)[0]), "out\n");
    ASSERT_TRUE(loop_until([&] { return output::stored_from(story->out.get()) == 4; }));
    ASSERT_TRUE(loop_until([&] { return output::stored_from(story->err.get()) == 4; }));
    EXPECT_EQ(output::size_of(story->out.get()), 4U);
}

// A process that is not the job's, and has its descriptor, may write for ever.
TEST_F(JobsOutput, AStrangerWithItsDescriptorEndsNothingAndIsEnded) {
    const pid_t writer = fork();
    if (writer == 0) {
        (void)signal(SIGPIPE, SIG_DFL);
        // Of the pipes in the manager's stock it would have the ends to read from as well.
        close_range(3, ~0U, 0);
        // Waits for the descriptor of the job, then writes without an end.
        const std::string fifo = path("fd");
        std::string link;
        while (!(link = read_path(fifo)).ends_with('\n')) usleep(1000);
        link.pop_back();
        const int file = open(link.c_str(), O_WRONLY | O_CLOEXEC);
        const std::string text(4096, 'y');
        write_path(path("ready"), "go\n", 0644);
        while (write(file, text.data(), text.size()) > 0) {
        }
        _exit(errno == EPIPE ? 7 : 8);
    }
    const StoryPtr story =
        start_shell("echo /proc/$$/fd/1 >" + path("fd") + "; " + wait_for("ready") + "echo mine");
    ASSERT_TRUE(loop_until([&] { return story->started; }));
    manager_->leave(story->job, first_follower, Leaving::gone);
    ASSERT_TRUE(loop_until([&] { return manager_->active() == 0; }));
    int status = 0;
    // That the keeper is to let go of it is said from the loop.
    ASSERT_TRUE(loop_until([&] { return waitpid(writer, &status, WNOHANG) == writer; }));
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE) << status;
}

// Nor may it keep the job's caller waiting, by standing still in the middle of a write.
TEST_F(JobsOutput, AStrangerThatStandsStillInAWriteKeepsNobodyWaiting) {
    manager_.reset();
    settings_.follower_stall = std::chrono::seconds(1);
    create();
    const StoryPtr story =
        start_shell("echo mine; echo /proc/$$/fd/1 >" + path("fd") + "; " + wait_for("ready"));
    ASSERT_TRUE(loop_until_written(path("fd")));
    ASSERT_TRUE(loop_until([&] { return read_all(story->out) == "mine\n"; }));
    std::string link = read_path(path("fd"));
    link.pop_back();
    const UniqueFd pipe(open(link.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(pipe);
    // Of which something is there when the job ends.
    HungWriter writer(pipe.get(), std::string(5000, 'x'));
    let("ready");
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_THAT(story, Exited(0));
    EXPECT_EQ(story->result->lost_from[0], 5U);
    EXPECT_FALSE(story->result->lost_from[1]);
}

}  // namespace
}  // namespace postern::jobs
