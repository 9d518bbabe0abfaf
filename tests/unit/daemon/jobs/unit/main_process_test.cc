// The main process of a unit: when it ends, and what is read of its cgroup then.

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/jobs/unit/main_process.h"
#include "tests/unit/daemon/jobs/unit/main_of_unit.h"
#include "tests/unit/daemon/jobs/unit/unit_fixture.h"

namespace postern::jobs {
namespace {

using testing::Contains;
using testing::Key;
using testing::Not;
using Population = MainProcess::Population;

constexpr const char* some_unit = "postern-job-1.service";

class MainProcessTest : public testing::Test {
  protected:
    void SetUp() override {
        sd_event* made = nullptr;
        ASSERT_GE(sd_event_new(&made), 0);
        loop_.reset(made);
    }
    std::unique_ptr<MainProcess> watch(pid_t pid, const std::string& unit = some_unit) {
        return MainProcess::watch(loop_.get(), {place_ / "proc", place_ / "cgroup"}, pid, unit,
                                  [this](const std::optional<MainExit>& exit) {
                                      ++ended_;
                                      if (exit) exits_.push_back(*exit);
                                  });
    }

    TemporaryDirectory place_{0700};
    EventLoop loop_;
    MainOfUnit process_;
    int ended_ = 0;
    std::vector<MainExit> exits_;
};

TEST_F(MainProcessTest, ItsEndIsToldOnceAndWhatWasUsedCanBeRead) {
    say_of(place_, process_.pid(), some_unit, "populated 0\nfrozen 0\n");
    const auto main = watch(process_.pid());
    ASSERT_TRUE(main);
    EXPECT_EQ(sd_event_run(loop_.get(), 0), 0);
    process_.end_and_wait();
    EXPECT_GT(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(ended_, 1);
    EXPECT_EQ(main->population(), Population::none);
    EXPECT_EQ(main->usage().cpu, std::chrono::microseconds(1234));
    EXPECT_EQ(main->usage().memory_peak_bytes, 2097152U);
}

TEST_F(MainProcessTest, HowItEndedIsToldOnceItIsReaped) {
    if (!kernel_tells_ends())
        GTEST_SKIP() << "Linux before 6.15 does not tell how others' children end";
    say_of(place_, process_.pid(), some_unit, "populated 0\n");
    const auto main = watch(process_.pid());
    ASSERT_TRUE(main);
    process_.exit_and_wait(7);
    EXPECT_GT(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(ended_, 1);
    EXPECT_TRUE(exits_.empty());
    process_.be_reaped();
    EXPECT_GT(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(ended_, 2);
    ASSERT_EQ(exits_.size(), 1U);
    EXPECT_EQ(exits_[0].code, CLD_EXITED);
    EXPECT_EQ(exits_[0].status, 7);
}

TEST_F(MainProcessTest, ASignalIsToldAsOneAndAllAtOnceWhereItIsReaped) {
    if (!kernel_tells_ends())
        GTEST_SKIP() << "Linux before 6.15 does not tell how others' children end";
    say_of(place_, process_.pid(), some_unit, "populated 0\n");
    const auto main = watch(process_.pid());
    ASSERT_TRUE(main);
    process_.end_and_be_reaped();
    EXPECT_GT(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(ended_, 1);
    ASSERT_EQ(exits_.size(), 1U);
    EXPECT_EQ(exits_[0].code, CLD_KILLED);
    EXPECT_EQ(exits_[0].status, SIGKILL);
}

TEST_F(MainProcessTest, WhoIsToldFromNowOnIsToldOfWhatWasToldBefore) {
    say_of(place_, process_.pid(), some_unit, "populated 0\n");
    const auto main = watch(process_.pid());
    ASSERT_TRUE(main);
    process_.exit_and_wait(0);
    EXPECT_GT(sd_event_run(loop_.get(), 0), 0);
    int told = 0;
    main->tell([&](const auto& /*exit*/) { ++told; });
    EXPECT_GT(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(told, 1);
    EXPECT_EQ(ended_, 1);
}

TEST_F(MainProcessTest, WhetherMemoryWasLackingIsReadOfItsCgroup) {
    say_of(place_, process_.pid(), some_unit, "populated 0\n");
    const auto main = watch(process_.pid());
    ASSERT_TRUE(main);
    const std::string file = std::string("cgroup/postern.slice/") + some_unit + "/memory.events";
    EXPECT_FALSE(main->may_lack_memory()) << "it is not accounted";
    place_.write(file, "low 0\noom 2\noom_kill 0\noom_group_kill 0\n");
    EXPECT_FALSE(main->may_lack_memory());
    place_.write(file, "low 0\noom 2\noom_kill 1\noom_group_kill 0\n");
    EXPECT_TRUE(main->may_lack_memory());
    std::filesystem::remove_all(place_ / "cgroup");
    EXPECT_TRUE(main->may_lack_memory()) << "nobody can say any more";
}

TEST_F(MainProcessTest, WhatCanNotBeReadIsNotKnown) {
    say_of(place_, process_.pid(), some_unit, "frozen 0\npopulated 1\n");
    EXPECT_EQ(watch(process_.pid())->population(), Population::some);
    std::filesystem::remove_all(place_ / "cgroup");
    const auto main = watch(process_.pid());
    ASSERT_TRUE(main);
    EXPECT_EQ(main->population(), Population::unknown);
    EXPECT_FALSE(main->usage().cpu);
    EXPECT_FALSE(main->usage().memory_peak_bytes);
}

TEST_F(MainProcessTest, OneThatIsNotTheUnitsIsNotWatched) {
    EXPECT_FALSE(watch(process_.pid())) << "nothing is known of its cgroup";
    say_of(place_, process_.pid(), some_unit, "populated 1\n");
    EXPECT_FALSE(watch(process_.pid(), "postern-job-2.service"));
    EXPECT_FALSE(watch(process_.pid(), "job-1.service"));
    EXPECT_TRUE(watch(process_.pid()));
    process_.end_and_wait();
    EXPECT_FALSE(watch(process_.pid())) << "its number may be another's soon";
    process_.end_and_be_reaped();
    EXPECT_FALSE(watch(process_.pid()));
}

// ---- In the life of a job ----

class MainProcessOfJob : public UnitJobsTest {
  protected:
    // A job whose main process is a real one, with such a cgroup; it runs when this returns.
    StoryPtr begin_running(const std::string& events, MainOfUnit& process, const Life& life) {
        begin(FakeSystemd::Version::v257);
        systemd_->set_life(life, {Event::answer});
        systemd_->set_main_pid(process.pid());
        StoryPtr story = start_job();
        EXPECT_TRUE(go_on([&] { return systemd_->starts() == 1; }, Pace::calm));
        say_of(*place_, process.pid(), "postern-job-" + story->job.text() + ".service", events);
        for (const Event event : {Event::forked, Event::executed, Event::job_removed}) {
            systemd_->add(event);
        }
        EXPECT_TRUE(go_on([&] { return story->started; }, Pace::calm));
        settle();
        return story;
    }
    // ... and has ended.
    StoryPtr begin_and_end(const std::string& events, MainOfUnit& process) {
        StoryPtr story = begin_running(events, process, {"exit 0", CLD_EXITED, 0});
        process.end_and_wait();
        return story;
    }
    void expect_end(const StoryPtr& story) {
        for (const Event event : {Event::exits, Event::settles}) systemd_->add(event);
        ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::eager));
        expect_nothing_left();
        EXPECT_THAT(story, Exited(0));
    }
};

TEST_F(MainProcessOfJob, WhatItsCgroupSaysIsNotAsked) {
    // Also where systemd's news and its end come in one turn of the loop.
    for (const bool ends_first : {true, false}) {
        MainOfUnit process;
        const StoryPtr story = begin_and_end("populated 0\n", process);
        if (ends_first) settle();
        expect_end(story);
        EXPECT_EQ(story->result->cpu, std::chrono::microseconds(1234));
        EXPECT_EQ(story->result->max_resident_kib, 2048U);
        EXPECT_THAT(systemd_->questions(), Not(Contains(Key("CPUUsageNSec"))));
        EXPECT_THAT(systemd_->questions(), Not(Contains(Key("MemoryPeak"))));
        EXPECT_EQ(book_.states[story->job], "submitting watching ended");
    }
}

TEST_F(MainProcessOfJob, OnceItIsReapedNobodyWaitsForSystemd) {
    if (!kernel_tells_ends())
        GTEST_SKIP() << "Linux before 6.15 does not tell how others' children end";
    for (const int status : {0, 3, 203}) {
        MainOfUnit process;
        const char* result = status == 0 ? "success" : "exit-code";
        const StoryPtr story =
            begin_running("populated 0\n", process, {"exit", CLD_EXITED, status, result});
        process.exit_and_wait(status);
        settle();
        EXPECT_FALSE(story->over()) << "how it ended is not known";
        process.be_reaped();
        ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
        EXPECT_THAT(story, Exited(status));
        EXPECT_EQ(story->result->cpu, std::chrono::microseconds(1234));
        EXPECT_EQ(book_.states[story->job], "submitting watching ended");
        EXPECT_THAT(systemd_->calls(), Not(Contains("stop")));
        // Its unit goes once systemd says that nothing of it runs.
        for (const Event event : {Event::exits, Event::settles}) systemd_->add(event);
        expect_nothing_left();
    }
}

TEST_F(MainProcessOfJob, AUnitThatIsAwaitedGoesHoweverItsEndIsTold) {
    if (!kernel_tells_ends()) {
        GTEST_SKIP() << "Linux before 6.15 does not tell how others' children end";
    }
    const auto in_silence = [this](const std::vector<Event>& events) {
        systemd_->end_connection(FakeSystemd::Unread::lost);
        for (const Event event : events) systemd_->add(event);
        while (systemd_->happen()) {
        }
    };
    const auto aloud = [this](const std::vector<Event>& events) {
        for (const Event event : events) systemd_->add(event);
    };
    const std::vector<std::function<void()>> ways = {
        [&] { aloud({Event::reload, Event::exits, Event::settles}); },
        // Somebody has stopped it.
        [&] { aloud({Event::exits, Event::settles, Event::goes}); },
        // Nobody hears that it is over; or that nothing of it is left.
        [&] { in_silence({Event::exits, Event::settles}); },
        [&] { in_silence({Event::exits, Event::settles, Event::goes}); },
        [&] {
            in_silence({Event::exits});
            aloud({Event::settles});
        },
    };
    for (std::size_t way = 0; way < ways.size(); ++way) {
        SCOPED_TRACE(way);
        for (const int status : {0, 3}) {
            MainOfUnit process;
            const char* result = status == 0 ? "success" : "exit-code";
            const StoryPtr story =
                begin_running("populated 0\n", process, {"exit", CLD_EXITED, status, result});
            process.exit_and_wait(status);
            process.be_reaped();
            ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
            EXPECT_THAT(story, Exited(status));
            ways[way]();
            expect_nothing_left();
        }
    }
}

TEST_F(MainProcessOfJob, ItsUnitGoesThoughItsEndIsToldToNobodyWhileItsOutputIsAwaited) {
    if (!kernel_tells_ends()) {
        GTEST_SKIP() << "Linux before 6.15 does not tell how others' children end";
    }
    MainOfUnit process;
    const StoryPtr story =
        begin_running("populated 0\n", process, {"exit 3", CLD_EXITED, 3, "exit-code"});
    fake_keeper_->write(story->job, "the rest");
    process.exit_and_wait(3);
    process.be_reaped();
    settle();
    EXPECT_FALSE(story->over()) << "the keeper has not said that it has all of it";
    EXPECT_EQ(book_.states[story->job], "submitting watching ended");
    systemd_->end_connection(FakeSystemd::Unread::lost);
    for (const Event event : {Event::exits, Event::settles}) systemd_->add(event);
    while (systemd_->happen()) {
    }
    EXPECT_TRUE(go_on([&] { return systemd_->connected(); }, Pace::calm));
    settle();
    fake_keeper_->finished(story->job);
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    EXPECT_THAT(story, Exited(3));
    expect_nothing_left();
}

TEST_F(MainProcessOfJob, WhatSystemdMayKnowBetterIsWaitedFor) {
    struct Case {
        const char* name;
        const char* populated;
        bool is_killed;
        bool lacks_memory;
        bool is_cancelled;
    };
    for (const Case& one : {Case{"killed", "populated 0\n", true, false, false},
                            Case{"others are left", "populated 1\n", false, false, false},
                            Case{"no memory", "populated 0\n", false, true, false},
                            Case{"cancelled", "populated 0\n", false, false, true}}) {
        SCOPED_TRACE(one.name);
        MainOfUnit process;
        const StoryPtr story = begin_running(one.populated, process, {"exit 0", CLD_EXITED, 0});
        if (one.lacks_memory) {
            place_->write(
                "cgroup/postern.slice/postern-job-" + story->job.text() + ".service/memory.events",
                "oom_kill 1\n");
        }
        if (one.is_cancelled) {
            EXPECT_TRUE(manager_->cancel(story->job, {{anna, "somebody"}, SIGTERM, false}));
        }
        one.is_killed ? process.end_and_wait() : process.exit_and_wait(0);
        process.be_reaped();
        settle();
        EXPECT_FALSE(story->over());
        for (const Event event : {Event::exits, Event::settles}) systemd_->add(event);
        ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::eager));
        expect_nothing_left();
    }
}

TEST_F(MainProcessOfJob, WhereOthersAreLeftOrTheCgroupIsGoneItIsAsked) {
    for (const char* events : {"populated 1\n", ""}) {
        MainOfUnit process;
        const StoryPtr story = begin_and_end(events, process);
        settle();
        expect_end(story);
        EXPECT_EQ(story->result->cpu, std::chrono::milliseconds(5));
        EXPECT_EQ(story->result->max_resident_kib, 1024U);
        EXPECT_EQ(systemd_->questions().at("CPUUsageNSec"), 1);
    }
}

}  // namespace
}  // namespace postern::jobs
