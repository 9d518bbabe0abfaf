// A disk without room: what gives way, what stays, and what is said.
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>

#include "daemon/jobs/record/record_store.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kib = 1024;
using Room = RecordStore::Room;

JobId numbered(int number) {
    std::string text = std::to_string(number);
    return JobId(std::string(32 - text.size(), '0') + text);
}

// A file system of 4 MiB, of which 256 KiB are to be spare. Parameter: whether records lie in
// memory until they are on it.
class DiskRoomTest : public testing::TestWithParam<bool> {
  protected:
    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "needs root, as all of a guard's folders are";
        if (mount("tmpfs", state_.path().c_str(), "tmpfs", 0, "size=4m,mode=0700") < 0) {
            GTEST_SKIP() << "tmpfs can't be mounted here";
        }
        mounted_ = true;
        open({100, 100, 1U << 30, 1U << 30});
    }
    void TearDown() override {
        store_.reset();
        if (mounted_) umount2(state_.path().c_str(), MNT_DETACH);
    }
    void open(const Retention& retention) {
        store_.reset();
        auto opened =
            RecordStore::open(state_.path(), GetParam() ? runtime_.path() : "", retention, {});
        ASSERT_TRUE(opened) << opened.error().message;
        store_.emplace(std::move(*opened));
        store_->set_hooks({[this](const Record& job, const std::string& why, bool for_room) {
                               told_.push_back(std::to_string(std::stoi(job.job.text())) + ": " +
                                               why + (for_room ? " (for others)" : ""));
                           },
                           [this](const std::string& path, const std::string& why) {
                               told_.push_back("full " + path + ": " + why);
                           },
                           [this](const std::string& path) { told_.push_back("room " + path); }});
    }
    // A job that has ended, and how much it wrote; the higher its number, the newer.
    void end(int number, uid_t uid, std::size_t bytes, const std::string& key = "") {
        ASSERT_TRUE(store_->make_folder(numbered(number)));
        write_path(output(number), std::string(bytes, 'x'), 0600);
        Record record;
        record.job = numbered(number);
        record.action = "flood";
        record.requester.uid = uid;
        record.requester.key = key;
        record.requester.call = 1;
        record.state = RecordState::ended;
        record.result.ended = std::chrono::time_point_cast<Time::duration>(
            std::chrono::system_clock::now() + std::chrono::microseconds(number));
        ASSERT_TRUE(store_->write_last(record));
    }
    [[nodiscard]] std::string output(int number) const {
        return state_ / "jobs/" + numbered(number).text() + "/stdout";
    }
    // All but so much.
    void fill(std::uint64_t left) const {
        while (!std::filesystem::is_empty(runtime_.path())) std::this_thread::yield();
        const UniqueFd file(
            ::open((state_ / "foreign").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        ASSERT_EQ(fallocate(file.get(), 0, 0, static_cast<off_t>(free() - left)), 0);
    }
    [[nodiscard]] std::uint64_t free() const {
        struct statvfs disk{};
        EXPECT_EQ(statvfs(state_.path().c_str(), &disk), 0);
        return disk.f_bfree * disk.f_frsize;
    }
    void settle() const {
        while (store_->frees()) std::this_thread::yield();
    }
    void wait_for_news() const {
        pollfd news{store_->news(), POLLIN, 0};
        constexpr int patience_msec = 50'000;
        ASSERT_EQ(poll(&news, 1, patience_msec), 1);
    }
    [[nodiscard]] std::string path() const { return state_ / "jobs"; }
    [[nodiscard]] std::string full() const { return path() + ": No space left on device"; }

    const TemporaryDirectory state_;
    const TemporaryDirectory runtime_{0700, "/dev/shm"};
    std::optional<RecordStore> store_;
    std::vector<std::string> told_;

  private:
    bool mounted_ = false;
};

TEST_P(DiskRoomTest, WhatIsOverGivesWayToAStart) {
    end(1, anna, 1000 * kib);
    end(2, berta, 500 * kib);
    end(3, anna, 1000 * kib);
    EXPECT_EQ(store_->room_for_start(), Room::there);
    EXPECT_THAT(told_, IsEmpty());
    fill(64 * kib);
    EXPECT_EQ(store_->room_for_start(), Room::soon);
    EXPECT_THAT(told_, ElementsAre("1: the disk is full (for others)"));
    settle();
    EXPECT_EQ(store_->room_for_start(), Room::there);
    EXPECT_FALSE(std::filesystem::exists(output(1)));
    EXPECT_EQ(store_->disk_full(), "");
    EXPECT_FALSE(store_->find(numbered(1)));
    EXPECT_TRUE(store_->find(numbered(2)));
}

TEST_P(DiskRoomTest, SomeRoomIsMadeBeforeItIsNeeded) {
    end(1, anna, 1000 * kib);
    end(2, anna, 1000 * kib);
    fill(500 * kib);
    end(3, anna, 400 * kib);
    EXPECT_THAT(told_, ElementsAre("1: the disk is full (for others)"));
    settle();
    EXPECT_GE(free(), 1000 * kib);
}

// Whoever has followed it is about to read it.
TEST_P(DiskRoomTest, WhatHasJustEndedGoesOnlyForAStart) {
    fill(1100 * kib);
    end(1, anna, 300 * kib);
    end(2, berta, 700 * kib);
    EXPECT_THAT(told_, IsEmpty()) << "nor does another's in its place";
    EXPECT_EQ(store_->room_for_start(), Room::soon);
    EXPECT_THAT(told_, ElementsAre("2: the disk is full (for others)"));
}

TEST_P(DiskRoomTest, WhereItWouldNotHelpNothingGoes) {
    end(1, anna, 8 * kib);
    fill(0);
    EXPECT_EQ(store_->room_for_start(), Room::none);
    EXPECT_EQ(store_->room_for_start(), Room::none);
    EXPECT_EQ(store_->make_folder(numbered(2)).error().message, full());
    EXPECT_THAT(told_, ElementsAre("full " + full()));
    EXPECT_EQ(store_->disk_full(), full());
    ASSERT_EQ(unlink((state_ / "foreign").c_str()), 0);
    while (!store_->disk_full().empty()) {
        wait_for_news();
        store_->tell_news();
    }
    EXPECT_THAT(told_, ElementsAre("full " + full(), "room " + path()));
    EXPECT_EQ(store_->room_for_start(), Room::there);
    EXPECT_TRUE(store_->make_folder(numbered(2)));
    EXPECT_TRUE(std::filesystem::exists(output(1)));
    // What it was looked for with is gone.
    EXPECT_FALSE(std::filesystem::exists(state_ / "jobs/room"));
}

TEST_P(DiskRoomTest, WhatGoesIsFreeWhoeverHasItOpen) {
    end(1, anna, 3000 * kib + 1);
    const UniqueFd reader(::open(output(1).c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(reader);
    fill(0);
    EXPECT_EQ(store_->room_for_start(), Room::soon);
    settle();
    EXPECT_GE(free(), 3000 * kib);
    struct stat status{};
    ASSERT_EQ(fstat(reader.get(), &status), 0);
    EXPECT_EQ(status.st_nlink, 0U);
    EXPECT_EQ(status.st_size, 3000 * kib + 1) << "so that it hears how much it misses";
    EXPECT_EQ(status.st_blocks, 0);
    EXPECT_EQ(lseek(reader.get(), 0, SEEK_DATA), -1);
}

TEST_P(DiskRoomTest, WhatIsReadGoesLast) {
    for (const int number : {1, 2, 3}) end(number, anna, 900 * kib);
    fill(0);
    {
        const UniqueFd reader(::open(output(1).c_str(), O_RDONLY | O_CLOEXEC));
        EXPECT_EQ(store_->make_room(64 * kib), Room::soon);
        settle();
    }
    EXPECT_EQ(store_->make_room(64 * kib), Room::soon);
    EXPECT_THAT(
        told_, ElementsAre("2: the disk is full (for others)", "1: the disk is full (for others)"));
}

TEST_P(DiskRoomTest, AYoungKeyStays) {
    end(1, anna, 3000 * kib, "k");
    fill(0);
    EXPECT_EQ(store_->room_for_start(), Room::soon);
    settle();
    EXPECT_THAT(told_, ElementsAre("1: the disk is full (for others)"));
    struct stat status{};
    ASSERT_EQ(stat(output(1).c_str(), &status), 0);
    EXPECT_EQ(std::pair(status.st_size, status.st_blocks), std::pair(off_t{3000 * kib}, 0L));
    ASSERT_TRUE(store_->find(numbered(1)));
    EXPECT_THAT(store_->find_key(store_->read(numbered(1))->requester), ElementsAre(numbered(1)));
    // There is nothing more to be had of it.
    std::filesystem::remove(state_ / "foreign");
    fill(0);
    EXPECT_EQ(store_->room_for_start(), Room::none);
    EXPECT_EQ(store_->make_room(1), Room::none);
    EXPECT_TRUE(store_->read(numbered(1)));
}

TEST_P(DiskRoomTest, WhatIsOverGivesWayToOutput) {
    end(1, anna, 1000 * kib);
    end(2, anna, 1000 * kib);
    end(3, berta, 500 * kib);
    fill(0);
    EXPECT_EQ(store_->make_room(64 * kib), Room::soon);
    EXPECT_EQ(store_->make_room(64 * kib), Room::soon);
    settle();
    EXPECT_GE(free(), 1000 * kib);
    const std::size_t at_once = told_.size();
    EXPECT_GE(at_once, 1U);
    // It says so for as long as there is anything, and then that the disk is full.
    while (store_->make_room(64 * kib) != Room::none) settle();
    EXPECT_EQ(told_.size(), 4U);
    EXPECT_EQ(told_.back(), "full " + full());
}

TEST_P(DiskRoomTest, RunningJobsPushOutWhatIsOver) {
    open({100, 100, 1500 * kib, 2500 * kib});
    end(1, anna, 600 * kib);
    end(2, anna, 600 * kib);
    EXPECT_EQ(store_->set_size(numbered(9), anna, 200 * kib), 1500 * kib);
    EXPECT_THAT(told_, IsEmpty());
    EXPECT_EQ(store_->set_size(numbered(9), anna, 500 * kib), 1500 * kib);
    EXPECT_THAT(told_, ElementsAre("1: limit storedOutputPerUser"));
    EXPECT_EQ(store_->set_size(numbered(8), berta, 1400 * kib), 1500 * kib);
    EXPECT_THAT(told_, ElementsAre("1: limit storedOutputPerUser"));
    EXPECT_EQ(store_->set_size(numbered(9), anna, 1100 * kib), 1250 * kib);
    EXPECT_EQ(store_->set_size(numbered(9), anna, 1400 * kib), 1250 * kib) << "it goes back";
    store_->remove(numbered(8));
    EXPECT_EQ(store_->set_size(numbered(9), anna, 1400 * kib), 1500 * kib);
}

INSTANTIATE_TEST_SUITE_P(Records, DiskRoomTest, testing::Bool());

}  // namespace
}  // namespace postern::jobs
