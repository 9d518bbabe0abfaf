// The main process of a unit: when it ends, and what is read of its cgroup then.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "daemon/jobs/unit/main_process.h"
#include "tests/unit/daemon/jobs/unit/unit_fixture.h"

namespace postern::jobs {
namespace {

using testing::Contains;
using testing::Key;
using testing::Not;
using Population = MainProcess::Population;

constexpr const char* some_unit = "postern-job-1.service";

// A process that waits until it is killed.
class Waiting {
  public:
    Waiting() : pid_(fork()) {
        for (; pid_ == 0;) pause();
    }
    ~Waiting() {
        end();
        if (!reaped_) waitpid(pid_, nullptr, 0);
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    void end() const { ::kill(pid_, SIGKILL); }
    void end_and_be_reaped() {
        end();
        waitpid(pid_, nullptr, 0);
        reaped_ = true;
    }
    // Until it is a zombie.
    void end_and_wait() const {
        end();
        siginfo_t info{};
        waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
    }

  private:
    pid_t pid_;
    bool reaped_ = false;
};

// What is said in /proc and in the cgroup of a process, in directories of its own.
void say(const TemporaryDirectory& place, pid_t pid, const std::string& unit,
         const std::string& events) {
    const std::string proc = "proc/" + std::to_string(pid);
    std::filesystem::create_directories(place / proc);
    place.write(proc + "/cgroup", "3:cpu:/elsewhere\n0::/postern.slice/" + unit + "\n");
    const std::string cgroup = "cgroup/postern.slice/" + unit;
    std::filesystem::create_directories(place / cgroup);
    if (!events.empty()) place.write(cgroup + "/cgroup.events", events);
    place.write(cgroup + "/cpu.stat", "nice_usage_usec 9\nusage_usec 1234\nuser_usec 1000\n");
    place.write(cgroup + "/memory.peak", "2097152\n");
}

class MainProcessTest : public testing::Test {
  protected:
    void SetUp() override {
        sd_event* made = nullptr;
        ASSERT_GE(sd_event_new(&made), 0);
        loop_.reset(made);
    }
    std::unique_ptr<MainProcess> watch(pid_t pid, const std::string& unit = some_unit) {
        return MainProcess::watch(loop_.get(), {place_ / "proc", place_ / "cgroup"}, pid, unit,
                                  [this] { ++ended_; });
    }

    TemporaryDirectory place_{0700};
    EventLoop loop_;
    Waiting process_;
    int ended_ = 0;
};

TEST_F(MainProcessTest, ItsEndIsToldOnceAndWhatWasUsedCanBeRead) {
    say(place_, process_.pid(), some_unit, "populated 0\nfrozen 0\n");
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

TEST_F(MainProcessTest, WhatCanNotBeReadIsNotKnown) {
    say(place_, process_.pid(), some_unit, "frozen 0\npopulated 1\n");
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
    say(place_, process_.pid(), some_unit, "populated 1\n");
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
    // A job whose main process is a real one, with such a cgroup; it has ended when this returns.
    StoryPtr begin_and_end(const std::string& events, Waiting& process) {
        begin(FakeSystemd::Version::v257);
        systemd_->set_life({"exit 0", CLD_EXITED, 0}, {Event::answer});
        systemd_->set_main_pid(process.pid());
        StoryPtr story = start_job();
        EXPECT_TRUE(go_on([&] { return systemd_->starts() == 1; }, Pace::calm));
        say(*place_, process.pid(), "postern-job-" + story->job.text() + ".service", events);
        for (const Event event : {Event::forked, Event::executed, Event::job_removed}) {
            systemd_->add(event);
        }
        EXPECT_TRUE(go_on([&] { return story->started; }, Pace::calm));
        settle();
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
        Waiting process;
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

TEST_F(MainProcessOfJob, WhereOthersAreLeftOrTheCgroupIsGoneItIsAsked) {
    for (const char* events : {"populated 1\n", ""}) {
        Waiting process;
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
