// The main process of a unit: when it ends, and what is read of its cgroup then.
#include <signal.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
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

// A process that waits until it is told to exit, or killed.
class Waiting {
  public:
    Waiting() {
        EXPECT_EQ(pipe(pipe_.data()), 0);
        pid_ = fork();
        if (pid_ != 0) return;
        unsigned char status = 0;
        _exit(read(pipe_[0], &status, 1) == 1 ? status : 255);
    }
    ~Waiting() {
        if (!reaped_) end_and_be_reaped();
        for (const int fd : pipe_) close(fd);
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    void end() const { ::kill(pid_, SIGKILL); }
    void end_and_be_reaped() {
        end();
        be_reaped();
    }
    void be_reaped() {
        waitpid(pid_, nullptr, 0);
        reaped_ = true;
    }
    // Until it is a zombie.
    void end_and_wait() const {
        end();
        wait();
    }
    void exit_and_wait(int status) const {
        const auto byte = static_cast<unsigned char>(status);
        EXPECT_EQ(write(pipe_[1], &byte, 1), 1);
        wait();
    }

  private:
    void wait() const {
        siginfo_t info{};
        waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
    }

    std::array<int, 2> pipe_{};
    pid_t pid_ = 0;
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

// Whether the kernel tells how a process ended that is another's child: since Linux 6.15.
bool tells_ends() {
    utsname system{};
    uname(&system);
    char* rest = nullptr;
    const long major = std::strtol(system.release, &rest, 10);
    const long minor = *rest == '.' ? std::strtol(rest + 1, nullptr, 10) : 0;
    return major > 6 || (major == 6 && minor >= 15);
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
                                  [this](const std::optional<MainProcess::Exit>& exit) {
                                      ++ended_;
                                      if (exit) exits_.push_back(*exit);
                                  });
    }

    TemporaryDirectory place_{0700};
    EventLoop loop_;
    Waiting process_;
    int ended_ = 0;
    std::vector<MainProcess::Exit> exits_;
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

TEST_F(MainProcessTest, HowItEndedIsToldOnceItIsReaped) {
    if (!tells_ends()) GTEST_SKIP() << "Linux before 6.15 does not tell how others' children end";
    say(place_, process_.pid(), some_unit, "populated 0\n");
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
    if (!tells_ends()) GTEST_SKIP() << "Linux before 6.15 does not tell how others' children end";
    say(place_, process_.pid(), some_unit, "populated 0\n");
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
    say(place_, process_.pid(), some_unit, "populated 0\n");
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
    say(place_, process_.pid(), some_unit, "populated 0\n");
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
    // A job whose main process is a real one, with such a cgroup; it runs when this returns.
    StoryPtr begin_running(const std::string& events, Waiting& process, const Life& life) {
        begin(FakeSystemd::Version::v257);
        systemd_->set_life(life, {Event::answer});
        systemd_->set_main_pid(process.pid());
        StoryPtr story = start_job();
        EXPECT_TRUE(go_on([&] { return systemd_->starts() == 1; }, Pace::calm));
        say(*place_, process.pid(), "postern-job-" + story->job.text() + ".service", events);
        for (const Event event : {Event::forked, Event::executed, Event::job_removed}) {
            systemd_->add(event);
        }
        EXPECT_TRUE(go_on([&] { return story->started; }, Pace::calm));
        settle();
        return story;
    }
    // ... and has ended.
    StoryPtr begin_and_end(const std::string& events, Waiting& process) {
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

TEST_F(MainProcessOfJob, OnceItIsReapedNobodyWaitsForSystemd) {
    if (!tells_ends()) GTEST_SKIP() << "Linux before 6.15 does not tell how others' children end";
    for (const int status : {0, 3, 203}) {
        Waiting process;
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
        Waiting process;
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
