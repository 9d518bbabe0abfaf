// What is said to the keeper of a job's output, and what is done where it has none; and when those
// who follow are to be looked at.
#include "daemon/jobs/job_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <vector>

#include "daemon/jobs/followers.h"
#include "daemon/output/stored_file.h"
#include "tests/unit/daemon/jobs/fixture.h"
#include "tests/unit/temporary_directory.h"

namespace postern::jobs {
namespace {

using namespace std::chrono_literals;

class OutputOfAJob : public testing::Test {
  protected:
    OutputOfAJob() {
        record_.job = JobId(std::string(32, 'a'));
        record_.stored_output = 8192;
        for (const char* const name : stream_names) write(name, "");
    }
    void write(const std::string& name, const std::string& text) const {
        const UniqueFd file(
            open((folder_.path() + "/" + name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    [[nodiscard]] JobOutput output() const {
        const UniqueFd folder(open(folder_.path().c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
        auto streams = JobStreams::open(folder.get());
        EXPECT_TRUE(streams);
        return {record_, *std::move(streams), limit};
    }

    // Of the daemon, where the record says nothing.
    static constexpr std::uint64_t limit = 16'384;
    TemporaryDirectory folder_;
    Record record_;
};

TEST_F(OutputOfAJob, OneThatWritesToItsFilesItselfHasTheirFrontsFreed) {
    record_.pipes = 0;
    record_.stored_output = 0;  // its record says nothing of it
    write("stdout", std::string(30'000, 'x'));
    write("stderr", std::string(16'000, 'y'));
    JobOutput job = output();
    EXPECT_TRUE(job.has_no_keeper());
    job.trim();
    const UniqueFd out(open((folder_.path() + "/stdout").c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(output::stored_from(out.get()), 12'288U) << "whole blocks, of 30,000 - 16,384";
    EXPECT_EQ(output::size_of(out.get()), 30'000U);
    const UniqueFd err(open((folder_.path() + "/stderr").c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(output::stored_from(err.get()), 0U);
}

TEST_F(OutputOfAJob, WhatGoesStraightIsNoFileThatTheJobWritesItself) {
    record_.pipes = 0;
    record_.stdout_not_kept = true;
    EXPECT_FALSE(output().has_no_keeper());
}

TEST_F(OutputOfAJob, ItIsMeasuredAgainWhenItHasGrown) {
    record_.pipes = 2;
    JobOutput job = output();
    EXPECT_FALSE(job.has_outgrown(0, 1 << 18));
    EXPECT_TRUE(job.has_outgrown(0, (1 << 18) + 1));
    write("stdout", std::string(1 << 19, 'x'));
    EXPECT_EQ(job.measure(), std::uint64_t{1} << 19);
    EXPECT_FALSE(job.has_outgrown(0, (1 << 19) + (1 << 18)));
    EXPECT_TRUE(job.has_outgrown(0, (1 << 19) + (1 << 18) + 1));
    EXPECT_TRUE(job.has_outgrown(1, (1 << 18) + 1)) << "each stream for itself";
}

// A guard that was killed before it had written down that the job was over.
TEST_F(OutputOfAJob, WhatTheKeeperHasFinishedIsNotLost) {
    record_.pipes = 2;
    write("stdout", "0123456789");
    JobOutput job = output();
    EXPECT_FALSE(job.is_drained());
    EXPECT_EQ(job.finished({10, 0}), (Offsets{not_awaited, not_awaited}));
    EXPECT_TRUE(job.is_drained());
    EXPECT_TRUE(job.is_known_to_keeper());
    EXPECT_EQ(job.all_kept(), (Offsets{not_awaited, not_awaited}));
}

TEST_F(OutputOfAJob, WhatNobodyHasIsLost) {
    record_.pipes = 2;
    write("stdout", "0123456789");
    EXPECT_EQ(output().all_kept(), (Offsets{10, 0}));
}

TEST_F(OutputOfAJob, AFileThatIsNotWhatTheKeeperKnowsIsLostFromThere) {
    record_.pipes = 2;
    write("stdout", "0123456789");
    EXPECT_EQ(output().finished({8, 3}), (Offsets{8, 0}));
}

// Somebody removed its file while no guard ran.
TEST_F(OutputOfAJob, AStreamWithoutAFileIsLostAndNobodyIsToldOfIt) {
    record_.pipes = 2;
    ASSERT_EQ(unlink((folder_.path() + "/stdout").c_str()), 0);
    JobOutput job = output();
    std::array<int, 2> ends{-1, -1};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const UniqueFd write_end(ends[1]);
    std::vector<UniqueFd> descriptors;
    descriptors.emplace_back(ends[0]);
    job.kept(0, descriptors);
    EXPECT_EQ(job.all_kept(), (Offsets{0, 0}));
    EXPECT_TRUE(job.is_drained());
    (void)signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(::write(write_end.get(), "x", 1), -1) << "the job is told";
}

class WhoFollows : public JobsTest {
  protected:
    void SetUp() override {
        story_->job = job_;
        story_->started = true;
    }
    void grow(std::uint64_t size, Followers::Clock::time_point now) {
        sizes_ = {size, 0};
        followers_.output(job_, [size](const Offsets& offsets) { return offsets[0] < size; }, now);
    }

    const JobId job_{std::string(32, 'a')};
    const Followers::Clock::time_point start_ = Followers::Clock::now();
    const std::chrono::microseconds stall_ = 1min;
    Offsets sizes_{};
    Followers followers_;
    StoryPtr story_ = std::make_shared<Story>();
    const FollowerId id_ = followers_.add(follower(story_), {}, start_);
};

// A job that writes nothing is no reason to wake up.
TEST_F(WhoFollows, IsNotLookedAtWhileThereIsNothingMore) {
    EXPECT_TRUE(followers_.needs_looks()) << "until it has said how far it is";
    followers_.await(id_, {0, 0});
    EXPECT_FALSE(followers_.needs_looks());
    grow(10, start_ + 1h);
    EXPECT_EQ(story_->outputs, 1);
    EXPECT_TRUE(followers_.needs_looks());
    // The hour in which there was nothing to take does not count.
    followers_.find_stalled(sizes_, stall_, start_ + 1h + 30s);
    EXPECT_EQ(followers_.needs().followers, 1U);
    followers_.find_stalled(sizes_, stall_, start_ + 1h + stall_);
    EXPECT_EQ(followers_.needs().followers, 0U);
    EXPECT_FALSE(followers_.needs_looks());
    EXPECT_TRUE(followers_.taken(id_, {10, 0}, start_ + 2h));
    EXPECT_EQ(followers_.needs().followers, 1U);
}

// The start of a character that is not whole is kept back until the rest comes.
TEST_F(WhoFollows, IsNotTakenToStandStillForAPartOfACharacter) {
    EXPECT_TRUE(followers_.taken(id_, {9, 0}, start_));
    followers_.await(id_, {10, 0});
    sizes_ = {10, 0};
    EXPECT_FALSE(followers_.needs_looks());
    followers_.find_stalled(sizes_, stall_, start_ + 1h);
    EXPECT_EQ(followers_.needs().followers, 1U);
}

TEST_F(WhoFollows, TakesThePlaceOfOneThatWasInterruptedUnlessItReadsFromBeforeIt) {
    EXPECT_TRUE(followers_.taken(id_, {100, 5}, start_));
    followers_.remove(id_, true, start_);
    const FollowerId other = followers_.add(follower(std::make_shared<Story>()), {}, start_);
    followers_.await(other, {0, 0});
    EXPECT_EQ(followers_.needs().followers, 2U) << "somebody else";
    const FollowerId back = followers_.add(follower(std::make_shared<Story>()), {}, start_);
    EXPECT_TRUE(followers_.taken(back, {100, 5}, start_));
    EXPECT_EQ(followers_.needs().followers, 2U) << "itself";
    EXPECT_TRUE(followers_.taken(other, {200, 5}, start_));
    EXPECT_EQ(followers_.needs().floor[0], 100U);
}

TEST_F(WhoFollows, IsLookedAtWhileItsClientLacksWhatWasRead) {
    followers_.await(id_, {0, 0});
    grow(10, start_ + 1s);
    followers_.await(id_, {10, 0});
    EXPECT_TRUE(followers_.needs_looks());
    // What comes while it has not taken what there was is no reason to wait longer for it.
    grow(20, start_ + 50s);
    followers_.find_stalled(sizes_, stall_, start_ + 1s + stall_);
    EXPECT_EQ(followers_.needs().followers, 0U);
}

}  // namespace
}  // namespace postern::jobs
