// A unit's life from what systemd tells by itself: what that costs, and what it may leave out.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "daemon/jobs/unit/service_manager.h"
#include "daemon/jobs/unit/unit_cleaner.h"
#include "tests/unit/daemon/jobs/unit/unit_fixture.h"

namespace postern::jobs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using Version = FakeSystemd::Version;

const Life exits_with_0 = {"exit 0", CLD_EXITED, 0};
const Life exits_with_7 = {"exit 7", CLD_EXITED, 7, "exit-code"};

class UnitSignals : public UnitJobsTest {
  protected:
    static std::vector<Event> whole_life() {
        return {Event::answer,      Event::forked, Event::executed,
                Event::job_removed, Event::exits,  Event::settles};
    }
    StoryPtr begin_job(const Life& life, std::vector<Event> events,
                       Version version = Version::v257) {
        begin(version);
        systemd_->set_life(life, std::move(events));
        return start_job();
    }
    void to_the_end(const StoryPtr& story, Pace pace = Pace::calm) {
        ASSERT_TRUE(go_on([&] { return story->over(); }, pace)) << book_.states[story->job];
    }
};

TEST_F(UnitSignals, WhatARunAsks) {
    StoryPtr story = begin_job(exits_with_0, whole_life(), Version::v252);
    to_the_end(story);
    expect_nothing_left();
    EXPECT_THAT(systemd_->questions(),
                ElementsAre(std::pair("CPUUsageNSec", 1), std::pair("Environment", 1),
                            std::pair("Version", 1)));
    EXPECT_THAT(systemd_->calls(), ElementsAre("list", "start", "stop"));

    story = begin_job(exits_with_7, whole_life());
    to_the_end(story);
    expect_nothing_left();
    EXPECT_THAT(systemd_->questions(),
                ElementsAre(std::pair("CPUUsageNSec", 1), std::pair("Environment", 1),
                            std::pair("MemoryPeak", 1), std::pair("Version", 1)));
    EXPECT_THAT(systemd_->calls(), ElementsAre("list", "start", "reset"));
}

TEST_F(UnitSignals, TheAnswerComesBeforeTheUnitIsStopped) {
    const StoryPtr story = begin_job(exits_with_0, whole_life());
    to_the_end(story);
    EXPECT_EQ(systemd_->units().size(), 1U);
    EXPECT_THAT(systemd_->calls(), ElementsAre("list", "start"));
    expect_nothing_left();
    EXPECT_THAT(systemd_->calls(), ElementsAre("list", "start", "stop"));
}

// All that is told of a quick one may be that systemd's own job is done.
TEST_F(UnitSignals, OneThatIsOverBeforeItIsToldOfIsLookedAt) {
    for (const Life& life : {exits_with_0, exits_with_7}) {
        for (const bool answered_first : {true, false}) {
            const StoryPtr story =
                begin_job(life, answered_first ? std::vector{Event::answer, Event::coalesced}
                                               : std::vector{Event::coalesced, Event::answer});
            to_the_end(story);
            expect_nothing_left();
            EXPECT_THAT(story, Exited(life.status));
            EXPECT_EQ(systemd_->questions().at("LoadState"), 1);
            EXPECT_EQ(systemd_->questions().at("ActiveState"), 2);
        }
    }
}

// Then its result is a success, as far as systemd knows.
TEST_F(UnitSignals, WhoForgetsAFailedUnitChangesNothing) {
    for (const Pace pace : {Pace::calm, Pace::eager}) {
        for (const Version version : {Version::v252, Version::v257}) {
            std::vector<Event> events = whole_life();
            events.push_back(Event::reset);
            const StoryPtr story = begin_job(exits_with_7, events, version);
            to_the_end(story, pace);
            expect_nothing_left();
            EXPECT_THAT(story, Exited(7));
            EXPECT_EQ(record_of(story).result, *story->result);
        }
    }
}

TEST_F(UnitSignals, AReloadIsAReasonToLookOnce) {
    const StoryPtr story =
        begin_job(exits_with_0, {Event::answer, Event::forked, Event::executed, Event::job_removed,
                                 Event::reload, Event::exits, Event::settles});
    to_the_end(story);
    expect_nothing_left();
    EXPECT_THAT(story, Exited(0));
    EXPECT_EQ(systemd_->questions().at("LoadState"), 1);
    EXPECT_EQ(systemd_->executions(), 1);
}

TEST_F(UnitSignals, WhatItLeftIsLookedForOnce) {
    Life life = exits_with_0;
    life.leaves_others = true;
    const StoryPtr story = begin_job(life, whole_life());
    to_the_end(story);
    expect_nothing_left();
    EXPECT_THAT(story, Exited(0));
    EXPECT_THAT(systemd_->questions(), Contains(std::pair("ControlGroup", 1)));
    EXPECT_THAT(systemd_->questions(), Not(Contains(testing::Key("LoadState"))));
    EXPECT_EQ(book_.states[story->job], "submitting watching measuring stopping ended");
}

TEST_F(UnitSignals, AllThatWasToldIsReadInOneTurn) {
    const StoryPtr story = begin_job(exits_with_0, {Event::answer, Event::forked});
    ASSERT_TRUE(go_on([&] { return systemd_->starts() == 1; }, Pace::calm));
    settle();
    systemd_->tell_of_others(40);
    EXPECT_GT(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(sd_event_run(loop_.get(), 0), 0);
    // But not so many that others would have to wait.
    systemd_->tell_of_others(100);
    EXPECT_GT(sd_event_run(loop_.get(), 0), 0);
    EXPECT_GT(sd_event_run(loop_.get(), 0), 0);
    EXPECT_EQ(sd_event_run(loop_.get(), 0), 0);
}

TEST_F(UnitSignals, AnExitedUnitOfAJobThatIsOverIsForgottenByTheNextGuard) {
    const StoryPtr story = begin_job(exits_with_0, whole_life());
    to_the_end(story);
    kill_guard(FakeSystemd::Unread::lost);
    ASSERT_EQ(systemd_->units().size(), 1U);
    open();
    expect_nothing_left();
    EXPECT_THAT(systemd_->calls(), ElementsAre("list", "start", "list", "stop"));
    EXPECT_EQ(found_by_key()->result, *story->result);
}

// ---- Cleaning ----

// With a connection to systemd of its own.
class UnitCleaning : public UnitJobsTest {
  protected:
    void SetUp() override {
        UnitJobsTest::SetUp();
        if (IsSkipped()) return;
        begin(Version::v257);
        manager_.reset();
        ServiceManager::Events events;
        events.changed = [](const std::string&, Told, const UnitNews&) {};
        events.connected = events.reloaded = [] {};
        systemd_->answer_first([&] {
            auto services = ServiceManager::connect(loop_.get(), settings_.systemd_socket, events);
            ASSERT_TRUE(services);
            services_ = std::move(*services);
        });
        cleaner_.emplace(loop_.get(), *services_, [this] {
            ++asked_;
            return busy_;
        });
    }
    void TearDown() override {
        cleaner_.reset();
        services_.reset();
        UnitJobsTest::TearDown();
    }
    void add(std::size_t units, bool has_failed = false) {
        for (; units > 0; --units) {
            const std::string name = "postern-job-" + std::to_string(++added_) + ".service";
            systemd_->leave_unit(name, has_failed);
            cleaner_->add(name, has_failed);
        }
    }
    [[nodiscard]] bool until_clean() {
        return go_on([this] { return systemd_->units().empty(); }, Pace::calm);
    }

    std::unique_ptr<ServiceManager> services_;
    std::optional<UnitCleaner> cleaner_;
    bool busy_ = false;
    int asked_ = 0;
    int added_ = 0;
};

TEST_F(UnitCleaning, WhatSystemdDoesNotReadAtOnceIsSentLater) {
    // More than a socket holds.
    constexpr std::size_t many = 4000;
    settle();
    const std::size_t before = systemd_->calls().size();
    for (std::size_t i = 0; i < many; ++i) services_->stop("postern-job-1.service");
    settle();
    EXPECT_EQ(systemd_->calls().size(), before + many);
}

TEST_F(UnitCleaning, InAMoment) {
    add(1);
    add(2, true);
    EXPECT_TRUE(until_clean());
    EXPECT_EQ(asked_, 1);
    EXPECT_THAT(systemd_->calls(), ElementsAre("list", "stop", "reset", "reset"));
}

TEST_F(UnitCleaning, NotWhileSomethingIsToBeStarted) {
    busy_ = true;
    add(2);
    ASSERT_TRUE(go_on([this] { return asked_ == 3; }, Pace::calm));
    EXPECT_EQ(systemd_->units().size(), 2U);
    busy_ = false;
    EXPECT_TRUE(until_clean());
}

TEST_F(UnitCleaning, AtLastAlsoThen) {
    busy_ = true;
    add(1);
    EXPECT_TRUE(until_clean());
    EXPECT_GT(asked_, 3);
}

TEST_F(UnitCleaning, ManyAtOnceAlsoThen) {
    busy_ = true;
    add(UnitCleaner::most_waiting);
    EXPECT_TRUE(until_clean());
    EXPECT_EQ(asked_, 1);
}

}  // namespace
}  // namespace postern::jobs
