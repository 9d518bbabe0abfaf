// Which records the thread copies at once, and when it is woken for them.
#include "daemon/jobs/record/record_thread.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <chrono>
#include <mutex>
#include <string>

#include "tests/unit/file_text.h"
#include "tests/unit/temporary_directory.h"

namespace postern::jobs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Clock = RecordThread::Clock;
using Work = RecordThread::Work;

JobId job(int number) {
    return JobId(std::string(31, '0') + std::to_string(number));
}

class RecordThreadTest : public testing::Test {
  protected:
    void ask(int number, Work work) {
        state_.ask(std::unique_lock(state_.mutex), job(number), std::move(work));
    }
    // It sleeps until then. Whether it is woken for this:
    bool is_woken(Clock::time_point sleeps_until, int number, Work work) {
        state_.sleeps_until = sleeps_until;
        ask(number, std::move(work));
        return state_.sleeps_until != sleeps_until;
    }
    void open() {
        for (const int number : {1, 2}) directory_.make_folder(job(number).text());
        state_.jobs.reset(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        state_.news.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    }

    static Work between() { return {.text = "between", .may_wait = true}; }

    TemporaryDirectory directory_;
    RecordThread state_;
};

TEST_F(RecordThreadTest, OnlyWhatComesBetweenWaits) {
    ask(1, {.text = "first"});
    EXPECT_THAT(state_.order, ElementsAre(job(1)));
    // The first is still to be copied: this one takes its place.
    ask(1, between());
    EXPECT_THAT(state_.order, ElementsAre(job(1)));
    EXPECT_THAT(state_.waiting, IsEmpty());
    ask(2, between());
    EXPECT_THAT(state_.order, ElementsAre(job(1)));
    EXPECT_THAT(state_.waiting, ElementsAre(job(2)));
    ask(2, {.text = "last", .last = true});
    EXPECT_THAT(state_.order, ElementsAre(job(1), job(2)));
    EXPECT_THAT(state_.waiting, IsEmpty());
    EXPECT_EQ(state_.left.at(job(1)).text, "between");
    EXPECT_EQ(state_.left.at(job(2)).text, "last");
    EXPECT_EQ(state_.bytes, 11U);
}

TEST_F(RecordThreadTest, WhatFreesAndWhatIsRemovedDoesNotWait) {
    ask(1, between());
    ask(1, {.text = {}, .empties = true});
    ask(2, between());
    ask(2, {.text = {}, .removes = true});
    EXPECT_THAT(state_.order, ElementsAre(job(1), job(2)));
    EXPECT_THAT(state_.waiting, IsEmpty());
    EXPECT_EQ(state_.left.at(job(1)).text, "between");
}

TEST_F(RecordThreadTest, IsWokenOnlyWhereItWouldSleepLonger) {
    const auto now = Clock::now();
    using std::chrono::milliseconds;
    EXPECT_TRUE(is_woken(now + milliseconds(50'000), 1, {.text = "first"}));
    EXPECT_FALSE(is_woken(Clock::time_point::min(), 2, {.text = "first"}));
    state_.left.clear();
    state_.order.clear();
    EXPECT_FALSE(is_woken(now, 1, between()));
    EXPECT_FALSE(is_woken(state_.wait_end, 2, between()));
    state_.left.clear();
    EXPECT_TRUE(is_woken(Clock::time_point::max(), 1, between()));
}

TEST_F(RecordThreadTest, WhatWaitsIsCopiedBeforeItEnds) {
    open();
    ask(1, between());
    ask(2, between());
    state_.stopping = true;
    state_.run();
    for (const int number : {1, 2}) {
        EXPECT_EQ(read_path(directory_ / job(number).text() + "/record.json"), "between");
    }
    EXPECT_TRUE(state_.left.empty());
    EXPECT_EQ(state_.bytes, 0U);
}

// One that fails is tried again, perhaps just when it has waited long enough.
TEST_F(RecordThreadTest, OneThatIsDueTwiceIsCopiedOnce) {
    open();
    ask(2, {.text = "first"});
    ask(1, between());
    state_.order.push_back(job(1));
    state_.stopping = true;
    state_.run();
    EXPECT_EQ(read_path(directory_ / job(1).text() + "/record.json"), "between");
    EXPECT_EQ(read_path(directory_ / job(2).text() + "/record.json"), "first");
    EXPECT_EQ(state_.bytes, 0U);
}

}  // namespace
}  // namespace postern::jobs
