// Spares: when they are made, what a job is in one, and that nothing is ever run twice.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>

#include "daemon/jobs/unit/service_manager.h"
#include "tests/unit/daemon/jobs/unit/main_of_unit.h"
#include "tests/unit/daemon/jobs/unit/unit_fixture.h"

namespace postern::jobs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class SparesTest : public UnitJobsTest {
  protected:
    void SetUp() override {
        UnitJobsTest::SetUp();
        if (IsSkipped()) return;
        settings_.spares = 8;
        settings_.launcher.reset(::open("/bin/true", O_PATH | O_CLOEXEC));
    }

    void begin_with(std::vector<policy::Action> actions,
                    FakeSystemd::Version version = FakeSystemd::Version::v257) {
        begin(version);
        systemd_->set_life({"exit 0", CLD_EXITED, 0},
                           {Event::answer, Event::forked, Event::executed, Event::job_removed,
                            Event::exits, Event::settles});
        std::filesystem::create_directories(*place_ / "proc/self");
        std::filesystem::create_symlink("/proc/self/mountinfo", *place_ / "proc/self/mountinfo");
        systemd_->set_main_pid(process_.pid());
        systemd_->set_forked([this](const std::string& unit) {
            say_of(*place_, process_.pid(), unit, population_);
            place_->write("proc/" + std::to_string(process_.pid()) + "/comm", "sh\n");
        });
        load(std::move(actions));
    }
    void load(std::vector<policy::Action> actions) {
        auto snapshot = std::make_shared<policy::Snapshot>();
        for (policy::Action& action : actions) {
            snapshot->actions.emplace(action.description.name, std::move(action));
        }
        snapshot_ = snapshot;
        manager_->actions_changed(snapshot_);
    }
    [[nodiscard]] policy::Action boxed(const std::string& name = "boxed") const {
        policy::Action action = shell_action(anna);
        action.description.name = name;
        action.version = "1";
        action.sandbox.push_back({"PrivateTmp", true, "PrivateTmp", "boxed.json:3"});
        return action;
    }
    StoryPtr start_boxed(const policy::Action& action) {
        Requester requester{anna, anna, 4711};
        requester.key = "deploy-" + std::to_string(++runs_);
        return start(action, shell("exit 0"), requester);
    }
    StoryPtr run_boxed(const policy::Action& action) {
        StoryPtr story = start_boxed(action);
        EXPECT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
        return story;
    }
    [[nodiscard]] bool until_waiting(std::size_t count = 1) {
        return go_on([&] { return systemd_->waiting().size() == count; }, Pace::calm) &&
               (settle(), true);
    }
    [[nodiscard]] std::size_t markers() const {
        const std::filesystem::directory_iterator folder(settings_.runtime_folder + "/spares");
        return static_cast<std::size_t>(std::distance(folder, {}));
    }
    // The one that waits.
    [[nodiscard]] JobId waiting_id() const {
        const auto waiting = systemd_->waiting();
        return waiting.size() == 1 ? job_of_unit(waiting.front()) : JobId();
    }
    // A thread removes it.
    [[nodiscard]] bool has_no_folder(const JobId& spare) {
        const std::string folder = settings_.state_folder + "/jobs/" + spare.text();
        return loop_until([&] { return !std::filesystem::exists(folder); }, 20);
    }
    // Nothing is left of any of them.
    void expect_all_gone() {
        EXPECT_TRUE(go_on([this] { return systemd_->units().empty(); }, Pace::calm));
        settle();
        EXPECT_EQ(markers(), 0U);
        EXPECT_THAT(notices_, IsEmpty());
    }

    // By whose pid a launcher is watched.
    MainOfUnit process_;
    std::string population_ = "populated 1\n";  // of its unit
    policy::SnapshotPtr snapshot_;
    int runs_ = 0;
};

TEST_F(SparesTest, OneIsMadeAfterARunAndIsTheNextOnesUnit) {
    for (const auto version : {FakeSystemd::Version::v252, FakeSystemd::Version::v257}) {
        begin_with({boxed()}, version);
        EXPECT_THAT(run_boxed(boxed()), Exited(0));
        ASSERT_TRUE(until_waiting());
        EXPECT_EQ(systemd_->starts(), 2);
        EXPECT_EQ(systemd_->executions(), 1);
        const JobId spare = waiting_id();
        EXPECT_EQ(markers(), 1U);
        EXPECT_EQ(manager_->active(), 0U) << "it is no job";

        const StoryPtr story = start_boxed(boxed());
        EXPECT_EQ(story->job, spare);
        EXPECT_EQ(markers(), 0U);
        ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
        EXPECT_THAT(story, Exited(0));
        EXPECT_TRUE(story->started);
        EXPECT_EQ(systemd_->executions(job_unit(spare)), 1);
        EXPECT_EQ(systemd_->starts(job_unit(spare)), 1) << "it was there already";
        EXPECT_THAT(systemd_->order().argv, ElementsAre("/bin/sh", "-c", "exit 0"));
        EXPECT_EQ(systemd_->order().program, "/bin/sh");
        EXPECT_THAT(systemd_->order().environment, Contains("POSTERN_JOB=" + spare.text()));
        EXPECT_THAT(systemd_->order().environment, Contains("POSTERN_UID=64001"));
        const Record record = record_of(story);
        EXPECT_TRUE(record.spare);
        EXPECT_GE(record.result.started, record.created) << "and not when the spare was made";
        ASSERT_TRUE(until_waiting());
        EXPECT_NE(waiting_id(), spare);
        load({});
        expect_all_gone();
    }
}

TEST_F(SparesTest, ActionsWithoutASandboxAndThoseThatWantNoneHaveNone) {
    policy::Action plain = shell_action(anna);
    policy::Action unwanted = boxed("unwanted");
    unwanted.spare = 0;
    policy::Action rooted = boxed("rooted");
    rooted.sandbox.push_back({"RootDirectory", std::string("/srv"), "RootDirectory", "x:1"});
    begin_with({plain, unwanted, rooted});
    for (const policy::Action& action : {plain, unwanted, rooted}) run_boxed(action);
    constexpr std::uint64_t longer_than_idle_usec = 200'000;
    sd_event_run(loop_.get(), longer_than_idle_usec);
    settle();
    EXPECT_EQ(systemd_->starts(), 3);
    expect_all_gone();
}

TEST_F(SparesTest, SoManyAreKeptAsTheFileSaysAndAsTheLimitAllows) {
    settings_.spares = 3;
    policy::Action kept = boxed();
    kept.spare = 2;
    policy::Action greedy = boxed("greedy");
    greedy.spare = 5;
    begin_with({kept, greedy});
    ASSERT_TRUE(until_waiting(3));
    constexpr std::uint64_t longer_than_idle_usec = 200'000;
    sd_event_run(loop_.get(), longer_than_idle_usec);
    settle();
    EXPECT_THAT(systemd_->waiting(), SizeIs(3));
    load({});
    expect_all_gone();
}

TEST_F(SparesTest, WhatWasRunLastHasThePlaceOfWhatWasRunBefore) {
    settings_.spares = 1;
    begin_with({boxed("one"), boxed("two")});
    run_boxed(boxed("one"));
    ASSERT_TRUE(until_waiting());
    const JobId first = waiting_id();
    run_boxed(boxed("two"));
    ASSERT_TRUE(go_on([&] { return !waiting_id().empty() && waiting_id() != first; }, Pace::calm));
    settle();
    EXPECT_EQ(start_boxed(boxed("two"))->job, waiting_id());
    load({});
}

TEST_F(SparesTest, OneThatIsNotUsedIsLetGo) {
    settings_.spare_life = std::chrono::milliseconds(300);
    policy::Action action = boxed();
    action.timeout = std::chrono::seconds(5);
    action.description.timeout = action.timeout;
    begin_with({action});
    run_boxed(action);
    ASSERT_TRUE(until_waiting());
    // What systemd ends by itself, where no guard is there.
    EXPECT_EQ(systemd_->runtime_max(), 5'300'000U);
    const JobId spare = waiting_id();
    expect_all_gone();
    EXPECT_TRUE(has_no_folder(spare));
    EXPECT_THAT(systemd_->calls(), Contains("stop"));
}

TEST_F(SparesTest, AnyChangeLetsAllGo) {
    using Change = std::function<void()>;
    const auto now_usec = [] {
        return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                              std::chrono::steady_clock::now().time_since_epoch())
                                              .count());
    };
    const std::vector<std::pair<std::string, Change>> changes = {
        {"actions", [this] { load({boxed()}); }},
        {"a mount", [&] { systemd_->tell_of_mount(now_usec()); }},
        {"systemd reads its files anew", [this] { systemd_->add(Event::reload); }},
        {"systemd is executed anew", [this] { systemd_->add(Event::disconnect); }},
    };
    for (const auto& [what, change] : changes) {
        SCOPED_TRACE(what);
        begin_with({boxed()});
        run_boxed(boxed());
        ASSERT_TRUE(until_waiting());
        systemd_->tell_of_mount(1);  // told once more of what was there before
        settle();
        ASSERT_THAT(systemd_->waiting(), SizeIs(1));
        change();
        expect_all_gone();
        EXPECT_THAT(run_boxed(boxed()), Exited(0));
        EXPECT_EQ(systemd_->executions(), 2);
        load({});
        expect_all_gone();
    }
}

TEST_F(SparesTest, OneOfAnotherVersionOrUserIsNotUsed) {
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    policy::Action other = boxed();
    other.version = "2";
    EXPECT_NE(start_boxed(other)->job, waiting_id());
    other = boxed();
    other.uid = berta;
    EXPECT_NE(start_boxed(other)->job, waiting_id());
    other = boxed();
    other.groups = {anna, berta};
    EXPECT_NE(start_boxed(other)->job, waiting_id());
    ASSERT_TRUE(go_on([this] { return idle(); }, Pace::calm));
    load({});
    expect_all_gone();
}

TEST_F(SparesTest, OneWhoseDirectoryIsAnotherByNowIsNotUsed) {
    policy::Action action = boxed();
    begin_with({});
    action.working_directory = place_->make_folder("work", 0755);
    load({action});
    run_boxed(action);
    ASSERT_TRUE(until_waiting());
    const JobId spare = waiting_id();
    std::filesystem::rename(*place_ / "work", *place_ / "before");
    place_->make_folder("work", 0755);
    const StoryPtr story = run_boxed(action);
    EXPECT_NE(story->job, spare);
    EXPECT_THAT(story, Exited(0));
    load({});
    expect_all_gone();
}

TEST_F(SparesTest, OneThatIsEndedByOthersIsTheLastOfItsAction) {
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    systemd_->end_waiting(systemd_->waiting().front());
    expect_all_gone();
    EXPECT_THAT(run_boxed(boxed()), Exited(0));
    constexpr std::uint64_t longer_than_idle_usec = 200'000;
    sd_event_run(loop_.get(), longer_than_idle_usec);
    settle();
    EXPECT_EQ(systemd_->starts(), 3);
    load({boxed()});
    run_boxed(boxed());
    EXPECT_TRUE(until_waiting());
    load({});
    expect_all_gone();
}

TEST_F(SparesTest, OneWhoseProcessIsNoMoreIsNotUsed) {
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    const JobId spare = waiting_id();
    process_.end_and_be_reaped();
    EXPECT_NE(start_boxed(boxed())->job, spare);
    ASSERT_TRUE(go_on([this] { return idle(); }, Pace::calm));
    expect_all_gone();
}

TEST_F(SparesTest, WhatIsNotAdmittedLeavesNothing) {
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    const auto refused =
        manager_->start(boxed(), shell("exit 0"), {anna, anna, 4711}, nullptr,
                        follower(std::make_shared<Story>()), [](const JobId&) { return false; });
    EXPECT_FALSE(refused);
    expect_all_gone();
    EXPECT_EQ(systemd_->executions(), 1);
}

// ---- Launchers that do not do what they are told ----

TEST_F(SparesTest, WhereNothingWasRunItIsStartedInTheOrdinaryWayAndOnce) {
    for (const Launcher what : {Launcher::refuses, Launcher::says_nothing, Launcher::dies_before}) {
        SCOPED_TRACE(static_cast<int>(what));
        begin_with({boxed()});
        run_boxed(boxed());
        ASSERT_TRUE(until_waiting());
        const JobId spare = waiting_id();
        systemd_->set_launcher(what);
        const StoryPtr story = run_boxed(boxed());
        EXPECT_EQ(story->job, spare);
        EXPECT_THAT(story, Exited(0));
        EXPECT_EQ(systemd_->executions(job_unit(spare)), 1);
        EXPECT_FALSE(record_of(story).spare);
        EXPECT_THAT(systemd_->calls(), Contains("kill 9"));
        expect_nothing_left();
        constexpr std::uint64_t longer_than_idle_usec = 200'000;
        sd_event_run(loop_.get(), longer_than_idle_usec);
        EXPECT_THAT(systemd_->waiting(), IsEmpty()) << "its action has none any more";
    }
}

TEST_F(SparesTest, OneThatDiesAfterItHasTakenItsOrderWasTheRun) {
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    const JobId spare = waiting_id();
    systemd_->set_launcher(Launcher::dies_afterwards);
    const StoryPtr story = run_boxed(boxed());
    EXPECT_THAT(story, EndedBySignal(Outcome::signaled, SIGKILL));
    EXPECT_EQ(systemd_->executions(job_unit(spare)), 0);
    EXPECT_EQ(systemd_->starts(job_unit(story->job)), 1) << "and never a second start";
    load({});
    expect_all_gone();
}

TEST_F(SparesTest, AProgramThatCanNotBeExecutedIsToldOfAsWithoutASpare) {
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    systemd_->set_launcher(Launcher::can_not);
    const StoryPtr story = run_boxed(boxed());
    ASSERT_TRUE(story->failure);
    EXPECT_FALSE(story->started);
    EXPECT_EQ(story->failure->message,
              "the program could not be started: its program can't be executed");
    EXPECT_THAT(story->failure->detail, HasSubstr("(203/EXEC)"));
    EXPECT_FALSE(story->failure->again);
    load({});
    expect_all_gone();
}

TEST_F(SparesTest, AProgramThatIsGoneIsAFailedStartThatStaysKnown) {
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    const JobId spare = waiting_id();
    policy::Action without = boxed();
    without.program = "/nonexistent/program";
    const StoryPtr story = run_boxed(without);
    EXPECT_EQ(story->job, spare);
    ASSERT_TRUE(story->failure);
    load({});
    expect_all_gone();
    // Once all is freed that is to be.
    manager_.reset();
    EXPECT_EQ(record_of(story).state, RecordState::failed);
    EXPECT_EQ(systemd_->executions(), 1);
}

// ---- Its end, before systemd tells of it ----

TEST_F(SparesTest, OnceItsProgramIsReapedNobodyWaitsForSystemd) {
    if (!kernel_tells_ends()) {
        GTEST_SKIP() << "Linux before 6.15 does not tell how others' children end";
    }
    population_ = "populated 0\n";
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    systemd_->set_life({"exit 7", CLD_EXITED, 7, "exit-code"}, {Event::exits, Event::settles});
    const StoryPtr story = start_boxed(boxed());
    ASSERT_TRUE(go_on([&] { return systemd_->executions() == 2; }, Pace::calm));
    process_.exit_and_wait(7);
    process_.be_reaped();
    settle();
    ASSERT_TRUE(story->over()) << "systemd has told of no end yet";
    EXPECT_THAT(story, Exited(7));
    EXPECT_TRUE(story->started);
    load({});
    expect_all_gone();
}

TEST_F(SparesTest, TheEndOfALauncherIsNotThatOfItsProgram) {
    if (!kernel_tells_ends()) {
        GTEST_SKIP() << "Linux before 6.15 does not tell how others' children end";
    }
    population_ = "populated 0\n";
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    systemd_->set_launcher(Launcher::can_not);
    const StoryPtr story = start_boxed(boxed());
    ASSERT_TRUE(go_on([&] { return systemd_->waiting().empty(); }, Pace::calm));
    process_.exit_and_wait(203);
    process_.be_reaped();
    settle();
    EXPECT_FALSE(story->over());
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    ASSERT_TRUE(story->failure);
    EXPECT_FALSE(story->started);
    load({});
    expect_all_gone();
}

// ---- Limits and ends ----

TEST_F(SparesTest, TheTimeLimitIsTheActionsOwn) {
    policy::Action action = boxed();
    action.timeout = std::chrono::milliseconds(100);
    action.description.timeout = action.timeout;
    begin_with({action});
    run_boxed(action);
    ASSERT_TRUE(until_waiting());
    systemd_->set_life({"never"}, {});
    const auto began = std::chrono::steady_clock::now();
    const StoryPtr story = start_boxed(action);
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    EXPECT_GE(std::chrono::steady_clock::now() - began, action.timeout);
    EXPECT_TRUE(story->started);
    EXPECT_THAT(story, EndedBySignal(Outcome::timeout, SIGTERM));
    load({});
    expect_all_gone();
}

TEST_F(SparesTest, TheNextGuardKeepsTheTimeLimitToo) {
    policy::Action action = boxed();
    action.timeout = std::chrono::milliseconds(300);
    action.description.timeout = action.timeout;
    begin_with({action});
    run_boxed(action);
    ASSERT_TRUE(until_waiting());
    systemd_->set_life({"never"}, {});
    const StoryPtr story = start_boxed(action);
    ASSERT_TRUE(go_on([&] { return story->started; }, Pace::calm));
    kill_guard(FakeSystemd::Unread::done);
    open();
    ASSERT_TRUE(go_on([this] { return idle(); }, Pace::calm));
    EXPECT_EQ(record_of(story).result.outcome, Outcome::timeout);
    EXPECT_EQ(record_of(story).timeout, action.timeout);
    expect_all_gone();
}

// ---- The guard dies, or ends ----

TEST_F(SparesTest, TheSparesOfAGuardThatDiedAreForgotten) {
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    const JobId spare = waiting_id();
    kill_guard(FakeSystemd::Unread::lost);
    EXPECT_EQ(markers(), 1U);
    open();
    expect_all_gone();
    EXPECT_TRUE(has_no_folder(spare));
    EXPECT_EQ(systemd_->executions(), 1);
}

TEST_F(SparesTest, AGuardThatEndsLetsThemGo) {
    begin_with({boxed()});
    run_boxed(boxed());
    ASSERT_TRUE(until_waiting());
    bool done = false;
    manager_->shut_down([&] { done = true; });
    ASSERT_TRUE(go_on([&] { return done; }, Pace::calm));
    expect_all_gone();
}

// Wherever the guard is killed, the program runs at most once, and the record says which.
TEST_F(SparesTest, AGuardThatIsKilledAtAnyStepRunsNothingTwice) {
    constexpr std::size_t more_than_a_run_takes = 60;
    bool ran_through = false;
    for (std::size_t steps = 0; steps < more_than_a_run_takes && !ran_through; ++steps) {
        for (const auto unread : {FakeSystemd::Unread::lost, FakeSystemd::Unread::done}) {
            SCOPED_TRACE(steps);
            begin_with({boxed()});
            run_boxed(boxed());
            ASSERT_TRUE(until_waiting());
            const JobId spare = waiting_id();
            const StoryPtr story = start_boxed(boxed());
            ASSERT_EQ(story->job, spare);
            ran_through = go_on([&] { return story->over(); }, Pace::eager, steps);
            kill_guard(unread);
            open();
            ASSERT_TRUE(go_on([this] { return idle(); }, Pace::calm));
            const Record record = record_of(story);
            const int executions = systemd_->executions(job_unit(spare));
            if (record.state == RecordState::failed) {
                EXPECT_EQ(executions, 0) << record.message;
                EXPECT_TRUE(record.again);
            } else {
                EXPECT_EQ(record.state, RecordState::ended);
                EXPECT_EQ(record.result.outcome, Outcome::exited);
                EXPECT_EQ(executions, 1);
            }
            expect_all_gone();
        }
    }
    EXPECT_TRUE(ran_through);
}

}  // namespace
}  // namespace postern::jobs
