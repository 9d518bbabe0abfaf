// Jobs under a systemd that says what it has to say in every order, and whose connection breaks.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/daemon/jobs/unit/unit_fixture.h"

namespace postern::jobs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Version = FakeSystemd::Version;
using Unread = FakeSystemd::Unread;

// What becomes of a job whose unit has this life.
struct Expected {
    Life life;
    Outcome outcome = Outcome::exited;
    const char* failure = "";  // of one that is not executed
};

const std::vector<Expected> executed_lives = {
    {{"exit 0", CLD_EXITED, 0}, Outcome::exited},
    {{"exit 7", CLD_EXITED, 7, "exit-code"}, Outcome::exited},
    {{"segv", CLD_KILLED, SIGSEGV, "signal"}, Outcome::signaled},
    {{"abort", CLD_DUMPED, SIGABRT, "core-dump"}, Outcome::signaled},
    {{"time is up", CLD_KILLED, SIGTERM, "timeout"}, Outcome::timeout},
    {{"out of memory", CLD_KILLED, SIGKILL, "oom-kill"}, Outcome::out_of_memory},
    {{"others end soon", CLD_EXITED, 7, "exit-code", true, false, false, true}, Outcome::exited},
    {{"stopped by somebody", CLD_KILLED, SIGTERM, "success", true, true}, Outcome::signaled},
};
const std::vector<Expected> failing_lives = {
    {{"no program", CLD_EXITED, 203, "exit-code", false}, Outcome::lost, "can't be executed"},
    {{"no user", CLD_EXITED, 217, "exit-code", false}, Outcome::lost, "its user can't be set"},
    {{"no resources", 0, 0, "resources", false}, Outcome::lost, "could not run its unit"},
};

// In the order in which they come by nature.
std::vector<Event> events_of(const Life& life) {
    if (life.code == 0) return {Event::answer, Event::job_removed, Event::settles};
    if (!life.executed) {
        return {Event::answer, Event::forked, Event::exits, Event::job_removed, Event::settles};
    }
    return {Event::answer,      Event::forked, Event::executed,
            Event::job_removed, Event::exits,  Event::settles};
}

// Every order of them in which what happens to the process itself comes as it must; the answer to
// the call and the news of systemd's own job come anywhere between.
std::vector<std::vector<Event>> orders_of(const Life& life) {
    std::vector<Event> order = events_of(life);
    std::ranges::sort(order);
    std::vector<std::vector<Event>> orders;
    do {
        std::vector<Event> process = order;
        std::erase(process, Event::answer);
        std::erase(process, Event::job_removed);
        if (std::ranges::is_sorted(process)) orders.push_back(order);
    } while (std::ranges::next_permutation(order).found);
    return orders;
}

std::string text_of(const Life& life, const std::vector<Event>& events) {
    std::string text = std::string(life.name) + ":";
    for (const Event event : events) text.append(" ").append(name_of(event));
    return text;
}

class UnitJobs : public UnitJobsTest {
  protected:
    StoryPtr begin_job(const Expected& expected, const std::vector<Event>& events,
                       Version version = Version::v252) {
        begin(version);
        systemd_->set_life(expected.life, events);
        return start_job();
    }

    // Its follower, its record and the book of all jobs say the same of its end.
    void expect_end(const StoryPtr& story, const Expected& expected) {
        expect_nothing_left();
        ASSERT_TRUE(story->over());
        const Record record = record_of(story);
        const auto found = found_by_key();
        ASSERT_TRUE(found);
        EXPECT_EQ(found->job, story->job);
        EXPECT_FALSE(found->again);
        if (!expected.life.executed) {
            ASSERT_TRUE(story->failure) << story;
            EXPECT_THAT(story->failure->detail, HasSubstr(expected.failure));
            EXPECT_EQ(record.state, RecordState::failed);
            EXPECT_EQ(book_.failed_jobs.size(), 1U);
            return;
        }
        ASSERT_TRUE(story->result) << story;
        EXPECT_EQ(systemd_->executions(), 1);
        expect_result(*story->result, expected);
        EXPECT_EQ(record.result, *story->result);
        EXPECT_EQ(record.state, RecordState::ended);
        ASSERT_EQ(book_.ended_jobs.size(), 1U);
        EXPECT_EQ(book_.ended_jobs[0].result, *story->result);
    }
    static void expect_result(const JobResult& result, const Expected& expected) {
        EXPECT_EQ(outcome_name(result.outcome), outcome_name(expected.outcome));
        EXPECT_EQ(result.by_signal, expected.life.code != CLD_EXITED);
        EXPECT_EQ(result.status, expected.life.status);
    }

    // At the start one, at the end one about what it has used, and a whole look where there are
    // riddles.
    void expect_questions(const Expected& expected, Version version, int looks) {
        static const std::set<std::string> looked_at = {"Description",
                                                        "LoadState",
                                                        "ActiveState",
                                                        "SubState",
                                                        "ActiveEnterTimestampMonotonic",
                                                        "ControlGroup",
                                                        "Result",
                                                        "ExecMainCode",
                                                        "ExecMainStatus",
                                                        "ExecMainStartTimestamp",
                                                        "ExecMainExitTimestamp",
                                                        "ExecMainHandoffTimestampMonotonic"};
        auto questions = systemd_->questions();
        EXPECT_EQ(questions.extract("Version").mapped(), 1);
        EXPECT_EQ(questions.extract("Environment").mapped(), 1);
        // Once more where it is ended by systemd, since it may be gone then.
        const std::string_view result = expected.life.result;
        const bool is_ended = expected.life.stopped || result == "timeout" || result == "oom-kill";
        const int usage = expected.life.executed ? 1 : 0;
        EXPECT_LE(questions["CPUUsageNSec"], usage + (is_ended ? 1 : 0) + looks);
        EXPECT_LE(questions["MemoryPeak"],
                  (version == Version::v257 ? usage + (is_ended ? 1 : 0) : 0) + looks);
        if (expected.life.executed && !is_ended) {
            EXPECT_GE(questions["CPUUsageNSec"], 1);
        }
        // Its main process is known to have ended before all of it has.
        EXPECT_LE(questions["ControlGroup"], 1 + looks);
        questions.erase("CPUUsageNSec");
        questions.erase("MemoryPeak");
        questions.erase("ControlGroup");
        for (const auto& [property, times] : questions) {
            EXPECT_TRUE(looked_at.contains(property)) << property;
            EXPECT_LE(times, property == "ActiveState" ? 2 * looks : looks) << property;
        }
    }

    // Its unit has these processes, besides the main one.
    void leave_behind(const std::string& pids) {
        const std::string cgroup = "cgroup/postern.slice/job";
        std::filesystem::create_directories(*place_ / cgroup);
        place_->write(cgroup + "/cgroup.procs", pids);
    }

    void run_orders(const Expected& expected, Version version, Pace pace) {
        for (const std::vector<Event>& order : orders_of(expected.life)) {
            SCOPED_TRACE(text_of(expected.life, order));
            const StoryPtr story = begin_job(expected, order, version);
            ASSERT_TRUE(go_on([&] { return story->over(); }, pace)) << book_.states[story->job];
            // Of one that is forgotten before its start is answered nobody has heard anything.
            const auto at = [&](Event event) { return std::ranges::find(order, event); };
            if (expected.life.stopped && story->result && story->result->outcome == Outcome::lost) {
                EXPECT_GT(at(Event::answer), at(Event::executed));
                continue;
            }
            expect_end(story, expected);
            // That systemd's job is done before the unit has begun is a riddle to be looked at.
            const bool riddle = at(Event::job_removed) < order.begin() + 2;
            expect_questions(expected, version, riddle ? 1 : 0);
        }
    }
};

TEST_F(UnitJobs, EveryOrderOfWhatSystemdSays) {
    for (const Version version : {Version::v252, Version::v257}) {
        for (const Pace pace : {Pace::calm, Pace::eager}) {
            for (const Expected& expected : executed_lives) run_orders(expected, version, pace);
            for (const Expected& expected : failing_lives) run_orders(expected, version, pace);
        }
    }
}

// However many of the answers that tell its state have come before its end, and after it.
TEST_F(UnitJobs, AnEndInTheMiddleOfALookAtTheUnit) {
    constexpr std::array<std::size_t, 4> paces = {0, 1, 3, 8};
    std::size_t cases = 0;
    for (const Expected& expected : {executed_lives[1], executed_lives.back()}) {
        for (const std::size_t pace : paces) {
            for (std::size_t steps = 0;; ++steps) {
                SCOPED_TRACE(std::string(expected.life.name) + ", after " + std::to_string(steps) +
                             " steps, one event every " + std::to_string(pace));
                const StoryPtr story = begin_job(expected, events_of(expected.life));
                const auto over = [&] { return story->over(); };
                if (go_on(over, Pace::calm, steps)) break;
                while (systemd_->happen()) {
                    for (std::size_t left = pace; left > 0 && step(); --left) {
                    }
                }
                ASSERT_TRUE(go_on(over, Pace::calm)) << book_.states[story->job];
                ++cases;
                expect_end(story, expected);
                if (HasFailure()) return;
            }
        }
    }
    EXPECT_GT(cases, 150U);
}

TEST_F(UnitJobs, WhatSystemdKnowsIsInTheResult) {
    for (const Version version : {Version::v252, Version::v257}) {
        const Expected& expected = executed_lives[1];
        const StoryPtr story = begin_job(expected, events_of(expected.life), version);
        ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
        settle();
        EXPECT_EQ(story->result->cpu, std::chrono::milliseconds(5));
        EXPECT_EQ(story->result->max_resident_kib, version == Version::v257 ? 1024U : 0U);
        EXPECT_EQ(story->result->started, time_of(1'700'000'000'000'000));
        EXPECT_EQ(book_.states[story->job], "submitting watching measuring ended");
        expect_nothing_left();
        EXPECT_THAT(systemd_->calls(), ElementsAre("list", "start", "reset"));
    }
}

// ---- What a process leaves behind ----

TEST_F(UnitJobs, WhatIsEndedWithItIsCounted) {
    // However its main process ended: with a failure, systemd would end the others by itself.
    for (Expected expected :
         {executed_lives[0], executed_lives[1], executed_lives[2], executed_lives[3]}) {
        SCOPED_TRACE(expected.life.name);
        expected.life.leaves_others = true;
        const StoryPtr story = begin_job(expected, events_of(expected.life));
        leave_behind("10\n11\n");
        place_->make_folder("cgroup/postern.slice/job/inner", 0700);
        place_->write("cgroup/postern.slice/job/inner/cgroup.procs", "12\n");
        ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
        expect_end(story, expected);
        EXPECT_EQ(story->result->ended_processes, 3U);
        EXPECT_THAT(systemd_->calls(), Contains("stop"));
    }
}

// As the left side of a pipe whose right side was the last that the job waited for.
TEST_F(UnitJobs, WhatEndsByItselfSoonIsNotCounted) {
    Expected expected = executed_lives[0];
    expected.life.others_end = true;
    std::vector<Event> events = events_of(expected.life);
    events.pop_back();
    const StoryPtr story = begin_job(expected, events);
    leave_behind("10\n");
    std::size_t steps = 0;
    // Everything but the moment that is waited.
    while (step() || systemd_->happen()) ASSERT_LT(++steps, 1000U);
    EXPECT_FALSE(story->over());
    systemd_->add(Event::settles);
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    expect_end(story, expected);
    EXPECT_EQ(story->result->ended_processes, 0U);
    EXPECT_THAT(systemd_->calls(), ElementsAre("list", "start", "stop"));
    EXPECT_EQ(book_.states[story->job], "submitting watching measuring ended");
}

// Its own end counts, and nobody else's reason.
TEST_F(UnitJobs, OneThatLingersIsNotEndedByUs) {
    Expected expected = executed_lives[0];
    expected.life.leaves_others = true;
    const StoryPtr story = begin_job(expected, events_of(expected.life));
    leave_behind("10\n");
    std::size_t steps = 0;
    while (step() || systemd_->happen()) ASSERT_LT(++steps, 1000U);
    EXPECT_FALSE(story->over());
    manager_->end(story->job, Outcome::disconnected);
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    expect_end(story, expected);
    EXPECT_EQ(story->result->ended_processes, 1U);
}

// ---- The connection ----

TEST_F(UnitJobs, TheConnectionBreaksBetweenAnyTwoThingsThatHappen) {
    std::vector<Expected> lives = executed_lives;
    lives.insert(lives.end(), failing_lives.begin(), failing_lives.end());
    for (const Expected& expected : lives) {
        // Nobody has heard how it ended who was not there.
        if (expected.life.stopped) continue;
        const std::vector<Event> natural = events_of(expected.life);
        for (std::size_t at = 1; at <= natural.size(); ++at) {
            for (const Pace pace : {Pace::calm, Pace::eager}) {
                std::vector<Event> events = natural;
                events.insert(events.begin() + static_cast<std::ptrdiff_t>(at), Event::disconnect);
                SCOPED_TRACE(text_of(expected.life, events));
                const StoryPtr story = begin_job(expected, events);
                ASSERT_TRUE(go_on([&] { return story->over(); }, pace)) << book_.states[story->job];
                expect_end(story, expected);
            }
        }
    }
}

TEST_F(UnitJobs, AStartWithoutAnAnswerIsFoundAgain) {
    for (const Pace pace : {Pace::calm, Pace::eager}) {
        const Expected& expected = executed_lives[1];
        std::vector<Event> events = events_of(expected.life);
        events.front() = Event::disconnect;
        const StoryPtr story = begin_job(expected, events);
        ASSERT_TRUE(go_on([&] { return story->over(); }, pace));
        expect_end(story, expected);
        EXPECT_THAT(book_.states[story->job], HasSubstr("submitting fencing watching"));
        EXPECT_THAT(systemd_->calls(), Not(Contains("fence"))) << "the unit is there";
    }
}

TEST_F(UnitJobs, AStartThatNeverCameToSystemdNeverBegan) {
    begin(Version::v257);
    systemd_->break_at_start();
    const StoryPtr story = start_job();
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    expect_nothing_left();
    ASSERT_TRUE(story->failure);
    EXPECT_TRUE(story->failure->again);
    EXPECT_TRUE(record_of(story).again);
    EXPECT_EQ(systemd_->executions(), 0);
    EXPECT_EQ(book_.states[story->job], "submitting fencing ended");
    EXPECT_THAT(systemd_->calls(), Contains("fence"));
}

TEST_F(UnitJobs, AReloadOfSystemdChangesNothing) {
    const Expected& expected = executed_lives[1];
    const std::vector<Event> natural = events_of(expected.life);
    for (std::size_t at = 0; at <= natural.size(); ++at) {
        std::vector<Event> events = natural;
        events.insert(events.begin() + static_cast<std::ptrdiff_t>(at), Event::reload);
        const StoryPtr story = begin_job(expected, events);
        ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
        expect_end(story, expected);
    }
}

// At each step of a run: whatever was under way then, either way.
TEST_F(UnitJobs, TheConnectionBreaksAtAnyPoint) {
    std::size_t cases = 0;
    for (const Expected& expected : {executed_lives[0], executed_lives[1]}) {
        for (const Unread unread : {Unread::lost, Unread::done}) {
            for (std::size_t steps = 0;; ++steps) {
                SCOPED_TRACE(std::string(expected.life.name) + ", after " + std::to_string(steps) +
                             " steps, unread " + std::to_string(static_cast<int>(unread)));
                const StoryPtr story = begin_job(expected, events_of(expected.life));
                if (go_on([&] { return story->over(); }, Pace::calm, steps)) break;
                systemd_->end_connection(unread);
                ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm))
                    << book_.states[story->job];
                ++cases;
                if (systemd_->executions() == 0) {
                    expect_nothing_left();
                    ASSERT_TRUE(story->failure);
                    EXPECT_TRUE(story->failure->again);
                } else {
                    expect_end(story, expected);
                }
                if (HasFailure()) return;
            }
        }
    }
    RecordProperty("cases", static_cast<int>(cases));
    EXPECT_GT(cases, 60U);
}

// ---- Refusals ----

TEST_F(UnitJobs, ARefusedStartIsTheAdministrators) {
    begin(Version::v252);
    systemd_->refuse("org.freedesktop.DBus.Error.InvalidArgs", "Value specified is wrong.");
    const StoryPtr story = start_job();
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    expect_nothing_left();
    ASSERT_TRUE(story->failure);
    EXPECT_EQ(story->failure->message,
              "the program could not be started: systemd refuses its unit");
    EXPECT_THAT(story->failure->detail, HasSubstr("Value specified is wrong."));
    EXPECT_FALSE(story->failure->again);
    EXPECT_EQ(book_.states[story->job], "submitting ended");
}

TEST_F(UnitJobs, ARefusalThatNamesAPropertySaysWhereItStands) {
    begin(Version::v252);
    policy::Action made = shell_action(anna);
    made.sandbox.push_back({"CPUQuotaPerSecUSec", std::uint64_t{5}, "CPUQuota", "a.json:7"});
    systemd_->refuse("org.freedesktop.DBus.Error.InvalidArgs", "CPUQuotaPerSecUSec= is wrong");
    const StoryPtr story = start(made, shell("true"));
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    ASSERT_TRUE(story->failure);
    EXPECT_THAT(story->failure->detail, HasSubstr("a.json:7: sandbox.CPUQuota: systemd refuses"));
}

// ---- Its end, where it is ours ----

TEST_F(UnitJobs, EndedAtAnyPoint) {
    const Expected& expected = executed_lives[1];
    std::size_t ours = 0;
    for (std::size_t steps = 0;; ++steps) {
        SCOPED_TRACE(steps);
        const StoryPtr story = begin_job(expected, events_of(expected.life));
        if (go_on([&] { return story->over(); }, Pace::calm, steps)) break;
        manager_->end(story->job, Outcome::disconnected);
        ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm)) << book_.states[story->job];
        if (story->result && story->result->outcome == Outcome::exited) {
            expect_end(story, expected);
            continue;
        }
        ++ours;
        expect_nothing_left();
        ASSERT_TRUE(story->result) << story;
        EXPECT_EQ(outcome_name(story->result->outcome), "disconnected");
        EXPECT_EQ(record_of(story).ending, Outcome::disconnected);
        EXPECT_EQ(record_of(story).result, *story->result);
    }
    EXPECT_GT(ours, 10U);
}

TEST_F(UnitJobs, OneThatIgnoresTermIsKilled) {
    const Expected& expected = executed_lives[1];
    const StoryPtr story =
        begin_job(expected, {Event::answer, Event::forked, Event::executed, Event::job_removed});
    systemd_->ignore_signal(SIGTERM);
    ASSERT_TRUE(go_on([&] { return story->started; }, Pace::calm));
    manager_->end(story->job, Outcome::disconnected);
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    EXPECT_THAT(story, EndedBySignal(Outcome::disconnected, SIGKILL));
    expect_nothing_left();
    EXPECT_THAT(systemd_->calls(),
                ElementsAre("list", "start", "kill 15", "kill 18", "kill 9", "reset"));
}

TEST_F(UnitJobs, WhatABrokenConnectionSwallowedIsSaidAgain) {
    // Only the word that comes again ends it in time.
    settings_.kill_grace = std::chrono::minutes(10);
    const StoryPtr story = begin_job(
        executed_lives[1], {Event::answer, Event::forked, Event::executed, Event::job_removed});
    ASSERT_TRUE(go_on([&] { return story->started; }, Pace::calm));
    settle();
    manager_->end(story->job, Outcome::disconnected);
    systemd_->end_connection(Unread::lost);
    EXPECT_THAT(systemd_->calls(), Not(Contains("kill 15")));
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    EXPECT_THAT(story, EndedBySignal(Outcome::disconnected, SIGTERM));
    expect_nothing_left();
}

// ---- The guard is killed ----

class GuardKilled : public UnitJobs {
  protected:
    // What a next guard makes of it: it ran once and its record says how it ended, or it never
    // began and may be started again.
    void expect_once(const StoryPtr& story, const Expected& expected) {
        expect_nothing_left();
        const Record record = record_of(story);
        const auto found = found_by_key();
        ASSERT_TRUE(found);
        EXPECT_EQ(found->job, story->job);
        EXPECT_LE(systemd_->starts(), 1);
        if (systemd_->executions() == 0) {
            EXPECT_EQ(record.state, RecordState::failed);
            EXPECT_TRUE(record.again);
            return;
        }
        EXPECT_EQ(systemd_->executions(), 1);
        EXPECT_EQ(record.state, RecordState::ended);
        expect_result(record.result, expected);
        EXPECT_GT(record.result.ended, record.result.started);
    }

    struct Case {
        Expected expected;
        Version version = Version::v252;
        Unread unread = Unread::lost;
        bool happens_meanwhile = false;
        bool lost_start = false;
    };
    // Kills it after so many steps. False: the run has fewer.
    bool kill_after(std::size_t steps, const Case& one) {
        const StoryPtr story = begin_job(one.expected, events_of(one.expected.life), one.version);
        if (one.lost_start) systemd_->break_at_start();
        bool whole = false;
        // One step longer than the job: what it said last may still be on its way.
        if (go_on([&] { return std::exchange(whole, story->over()); }, Pace::calm, steps)) {
            return false;
        }
        kill_guard(one.unread);
        while (one.happens_meanwhile && systemd_->happen()) {
        }
        open();
        EXPECT_TRUE(go_on([&] { return idle(); }, Pace::calm));
        // What it forgets of those that are over it does without being asked.
        settle();
        expect_once(story, one.expected);
        return true;
    }
    std::size_t kill_at_each_point(const Case& one) {
        std::size_t steps = 0;
        for (bool more = true; more && !HasFailure(); ++steps) {
            SCOPED_TRACE(std::string(one.expected.life.name) + ", after " + std::to_string(steps) +
                         " steps, unread " + std::to_string(static_cast<int>(one.unread)) +
                         (one.happens_meanwhile ? ", without a guard meanwhile" : ""));
            more = kill_after(steps, one);
        }
        return steps;
    }
};

TEST_F(GuardKilled, AtAnyPointItRunsOnce) {
    std::size_t cases = 0;
    // What systemd has not read when its sender dies, and whether a job goes on without a guard.
    constexpr std::array<std::pair<Unread, bool>, 4> ways = {{{Unread::lost, false},
                                                              {Unread::lost, true},
                                                              {Unread::last_lost, false},
                                                              {Unread::done, true}}};
    for (const Expected& expected : {executed_lives[0], executed_lives[1]}) {
        for (const auto& [unread, meanwhile] : ways) {
            const Version version = meanwhile ? Version::v257 : Version::v252;
            cases += kill_at_each_point({expected, version, unread, meanwhile});
        }
    }
    RecordProperty("cases", static_cast<int>(cases));
    EXPECT_GT(cases, 150U);
}

TEST_F(GuardKilled, WhileItFindsOutWhetherAJobWasStarted) {
    kill_at_each_point({executed_lives[1], Version::v252, Unread::last_lost, false, true});
}

TEST_F(GuardKilled, AFailedUnitOfAJobThatIsOverIsForgotten) {
    const Expected& expected = executed_lives[1];
    const StoryPtr story = begin_job(expected, events_of(expected.life));
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    // The word that forgets it is still unread.
    ASSERT_EQ(systemd_->units().size(), 1U);
    kill_guard(Unread::lost);
    ASSERT_EQ(systemd_->units().size(), 1U);
    open();
    expect_nothing_left();
    expect_end(story, expected);
}

// What it wrote may still be in its pipes, and only the keeper has them.
TEST_F(GuardKilled, AJobIsNotOverBeforeTheKeeperHasSaidWhatItHas) {
    const Expected& expected = executed_lives[0];
    const StoryPtr story = begin_job(expected, events_of(expected.life));
    ASSERT_TRUE(go_on([&] { return story->started; }, Pace::calm));
    kill_guard(Unread::lost);
    fake_keeper_->be_silent();
    waits_until_ready_ = false;
    open();
    EXPECT_FALSE(go_on([&] { return idle(); }, Pace::calm));
    EXPECT_EQ(manager_->active(), 1U);
    // Until its record says all, the unit does, and should that be forgotten, the record.
    EXPECT_EQ(systemd_->units().size(), 1U);
    EXPECT_EQ(record_of(story).state, RecordState::running);
    EXPECT_TRUE(record_of(story).result_known);
    EXPECT_THAT(book_.ended_jobs, IsEmpty());
    fake_keeper_->speak();
    ASSERT_TRUE(go_on([&] { return idle(); }, Pace::calm));
    EXPECT_EQ(book_.ended_jobs.size(), 1U);
    expect_nothing_left();
}

TEST_F(GuardKilled, UnitsOfOthersStay) {
    begin(Version::v252);
    const std::string other = "postern-job-" + std::string(32, 'a') + ".service";
    systemd_->leave_unit(other);
    systemd_->leave_unit("postern-job-.service");
    manager_.reset();
    open();
    settle();
    EXPECT_EQ(systemd_->units().size(), 2U);
    EXPECT_THAT(systemd_->calls(), Contains("list"));
    EXPECT_THAT(systemd_->calls(), Not(Contains("reset")));
}

TEST_F(GuardKilled, AFailedUnitIsForgottenWhenSystemdIsThereAgain) {
    const Expected& expected = executed_lives[1];
    const StoryPtr story = begin_job(expected, events_of(expected.life));
    ASSERT_TRUE(go_on([&] { return story->over(); }, Pace::calm));
    systemd_->end_connection(Unread::lost);
    ASSERT_EQ(systemd_->units().size(), 1U);
    EXPECT_TRUE(go_on([&] { return systemd_->units().empty(); }, Pace::calm));
}

TEST_F(GuardKilled, TheNextOneResumesAndTheObserverHearsIt) {
    const Expected& expected = executed_lives[1];
    const StoryPtr story = begin_job(expected, events_of(expected.life));
    ASSERT_TRUE(go_on([&] { return story->started; }, Pace::calm));
    kill_guard(Unread::lost);
    open();
    ASSERT_EQ(book_.resumed_jobs.size(), 1U);
    EXPECT_EQ(book_.resumed_jobs[0].job, story->job);
    EXPECT_EQ(book_.resumed_jobs[0].requester.key, "deploy-1");
    EXPECT_EQ(manager_->active(anna), 1U);
    ASSERT_TRUE(go_on([&] { return idle(); }, Pace::calm));
    EXPECT_EQ(book_.ended_jobs.size(), 1U);
    EXPECT_THAT(book_.lost_jobs, IsEmpty());
    EXPECT_EQ(book_.states[story->job], "submitting watching measuring ended");
}

// By what systemd says, where nobody else was there to see it; else when it was seen.
TEST_F(GuardKilled, OfAJobThatEndedMeanwhileTheRealEndIsTold) {
    constexpr std::uint64_t exited = 1'700'000'004'000'000;
    for (const bool meanwhile : {true, false}) {
        begin(Version::v257);
        const Expected& expected = executed_lives[0];
        const StoryPtr story = begin_job(expected, events_of(expected.life));
        ASSERT_TRUE(go_on([&] { return story->started; }, Pace::calm));
        kill_guard(Unread::lost);
        while (meanwhile && systemd_->happen()) {
        }
        open();
        // It does not count as running before it is known to run.
        EXPECT_EQ(manager_->unproven(std::nullopt), 1U);
        EXPECT_EQ(manager_->unproven(anna), 1U);
        EXPECT_EQ(manager_->unproven(anna + 1), 0U);
        EXPECT_FALSE(manager_->settled());
        ASSERT_TRUE(go_on([&] { return manager_->settled(); }, Pace::calm));
        EXPECT_EQ(manager_->unproven(anna), meanwhile ? 1U : 0U);
        EXPECT_EQ(manager_->active(anna), 1U);
        ASSERT_TRUE(go_on([&] { return idle(); }, Pace::calm));
        EXPECT_EQ(manager_->unproven(anna), 0U);
        ASSERT_EQ(book_.ended_jobs.size(), 1U);
        EXPECT_EQ(book_.ended_jobs[0].result.ended == time_of(exited), meanwhile);
        expect_nothing_left();
    }
}

}  // namespace
}  // namespace postern::jobs
