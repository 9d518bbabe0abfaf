// A state directory that somebody takes away from a running guard.
#include "daemon/jobs/record/state_folder.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "daemon/jobs/record/record_store.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using Place = RecordStore::Place;

JobId job_of(int number) {
    std::string text = std::to_string(number);
    return JobId(std::string(32 - text.size(), '0') + text);
}

Record starting(int number) {
    Record record;
    record.job = job_of(number);
    record.action = "a";
    record.requester.uid = 1000;
    record.requester.call = 1;
    return record;
}

mode_t mode_of(const std::string& path) {
    struct stat status{};
    return ::stat(path.c_str(), &status) < 0 ? 0 : status.st_mode & 07777;
}

// Parameter: whether records lie in memory until they are on the disk.
class StateFolderTest : public testing::TestWithParam<bool> {
  protected:
    void SetUp() override {
        auto opened = open();
        ASSERT_TRUE(opened) << opened.error().message;
        store_.emplace(std::move(*opened));
    }
    Result<RecordStore, StateError> open() {
        return RecordStore::open(state(), GetParam() ? runtime_.path() : "",
                                 {100, 100, 1U << 30, 1U << 30},
                                 [this](const std::string& text) { told_.push_back(text); });
    }
    [[nodiscard]] std::string state() const { return folder_ / "state"; }
    [[nodiscard]] std::string record_file(int number) const {
        return state() + "/jobs/" + job_of(number).text() + "/record.json";
    }
    // A job can be recorded, and its record comes to the disk.
    void expect_to_work(int number) {
        ASSERT_EQ(store_->look(), Place::there);
        ASSERT_TRUE(store_->make_folder(job_of(number)));
        ASSERT_TRUE(store_->write(starting(number)));
        while (!fs::exists(record_file(number))) std::this_thread::yield();
    }

    const TemporaryDirectory folder_;
    const TemporaryDirectory runtime_{0700, "/dev/shm"};
    std::vector<std::string> told_;
    std::optional<RecordStore> store_;
};

TEST_P(StateFolderTest, WhatWasTakenAwayIsMadeAgain) {
    expect_to_work(1);
    const std::string key = read_path(state() + "/groups.key");
    const std::string was_made_again =
        "state directory " + state() +
        " was removed, renamed or replaced: made again; what was in it of jobs is lost";
    int number = 1;
    const auto expect_anew = [&] {
        told_.clear();
        EXPECT_EQ(store_->look(), Place::made_again);
        EXPECT_THAT(told_, ElementsAre(was_made_again));
        EXPECT_EQ(store_->place_problem(), "");
        EXPECT_EQ(mode_of(state()), 0700U);
        EXPECT_EQ(mode_of(state() + "/jobs"), 0700U);
        EXPECT_EQ(read_path(state() + "/groups.key"), key);
        expect_to_work(++number);
        // It is this guard's.
        const auto another = StateFolder::open(state());
        ASSERT_FALSE(another);
        EXPECT_THAT(another.error().message, HasSubstr("another guard uses it"));
    };
    fs::remove_all(state());
    expect_anew();
    fs::remove_all(state() + "/jobs");
    expect_anew();
    fs::rename(state(), state() + ".old");
    expect_anew();
    fs::remove(state() + "/lock");
    expect_anew();
    for (const auto& entry : fs::directory_iterator(state())) fs::remove_all(entry.path());
    expect_anew();
}

TEST_P(StateFolderTest, WhatWasLostIsNotKnownAnyMore) {
    const auto add_ended = [&](int number) {
        ASSERT_TRUE(store_->make_folder(job_of(number)));
        Record record = starting(number);
        record.state = RecordState::ended;
        record.result.outcome = Outcome::exited;
        record.requester.key = "key";
        ASSERT_TRUE(store_->write_last(record));
        while (!fs::exists(record_file(number))) std::this_thread::yield();
    };
    const auto known = [&] {
        JobQuery query;
        query.limit = 10;
        return store_->page(query).jobs.size();
    };
    Requester who = starting(1).requester;
    who.key = "key";
    add_ended(1);
    fs::remove(state() + "/lock");
    ASSERT_EQ(store_->look(), Place::made_again);
    EXPECT_EQ(known(), 1U) << "its directory is there";
    fs::remove_all(state() + "/jobs");
    ASSERT_EQ(store_->look(), Place::made_again);
    EXPECT_EQ(known(), 0U);
    EXPECT_FALSE(store_->find(job_of(1)));
    EXPECT_THAT(store_->find_key(who), testing::IsEmpty());
    add_ended(2);
    EXPECT_EQ(known(), 1U);
    EXPECT_THAT(store_->find_key(who), ElementsAre(job_of(2)));
}

TEST_P(StateFolderTest, AJobThatRunsIsRecordedAnew) {
    expect_to_work(1);
    fs::remove_all(state());
    ASSERT_EQ(store_->look(), Place::made_again);
    store_->restore(starting(1));
    while (!fs::exists(record_file(1))) std::this_thread::yield();
    EXPECT_EQ(mode_of(state() + "/jobs/" + job_of(1).text()), 0700U);
    store_.reset();
    auto next = open();
    ASSERT_TRUE(next) << next.error().message;
    const auto left = next->load();
    ASSERT_EQ(left.size(), 1U);
    EXPECT_EQ(left.front().job, job_of(1));
}

TEST_P(StateFolderTest, WhatCanNotBeMadeAgainIsSaidOnce) {
    fs::remove_all(state());
    write_path(state(), "in its place", 0600);
    told_.clear();
    EXPECT_EQ(store_->look(), Place::lost);
    EXPECT_EQ(store_->look(), Place::lost);
    ASSERT_EQ(told_.size(), 1U);
    EXPECT_THAT(told_.front(),
                testing::AllOf(HasSubstr("state directory " + state() + " was removed"),
                               HasSubstr("systemctl restart posternd.service"),
                               HasSubstr("no job is started before")));
    EXPECT_THAT(store_->place_problem(), HasSubstr("can't be re-created"));
    fs::remove(state());
    told_.clear();
    EXPECT_EQ(store_->look(), Place::made_again);
    EXPECT_EQ(store_->place_problem(), "");
    expect_to_work(1);
}

// As a read-only file system, which can't be had while the lock is open.
TEST_P(StateFolderTest, WhatCanNotBeWrittenToIsSaidAndHeals) {
    const UniqueFd jobs(::open((state() + "/jobs").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int flags = 0;
    const auto set_immutable = [&](bool on) {
        flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
        return ::ioctl(jobs.get(), FS_IOC_SETFLAGS, &flags) == 0;
    };
    if (::ioctl(jobs.get(), FS_IOC_GETFLAGS, &flags) < 0 || !set_immutable(true)) {
        GTEST_SKIP() << "needs root, and a file system with such flags (chattr(1))";
    }
    told_.clear();
    EXPECT_EQ(store_->look(), Place::lost);
    const std::string problem = "state directory " + state() +
                                ": Operation not permitted; see that the daemon can write to it, "
                                "or restart it with another one";
    EXPECT_EQ(store_->place_problem(), problem);
    EXPECT_THAT(told_, ElementsAre(problem + "; no job is started before"));
    ASSERT_TRUE(set_immutable(false));
    expect_to_work(1);
    EXPECT_EQ(told_.back(), "state directory " + state() + " can be used again");
}

INSTANTIATE_TEST_SUITE_P(InMemory, StateFolderTest, testing::Bool());

}  // namespace
}  // namespace postern::jobs
