// Starts that wait for their turn, under a systemd that the test plays.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/jobs/start_queue.h"
#include "tests/unit/daemon/jobs/unit/unit_fixture.h"

namespace postern::jobs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Unread = FakeSystemd::Unread;

constexpr uid_t clara = 64003;
const Life good_life = {"exit 0", CLD_EXITED, 0};
const std::vector<Event> good_events = {Event::answer,      Event::forked, Event::executed,
                                        Event::job_removed, Event::exits,  Event::settles};

class Starts : public UnitJobsTest {
  protected:
    void TearDown() override {
        queue_.reset();
        UnitJobsTest::TearDown();
    }

    // A systemd and a guard that starts so many at once; nothing waits.
    void begin_starts(std::size_t at_once) {
        queue_.reset();
        begin(FakeSystemd::Version::v257);
        systemd_->set_life(good_life, good_events);
        stories_.clear();
        settings_.ready = [this] {
            if (queue_) queue_->wake();
        };
        order_.clear();
        owner_of_unit_.clear();
        rules_ = {};
        rules_.at_once = at_once;
        rules_.per_second = 1000;
        rules_.burst = 1000;
        // So that nothing but the end of a start frees its place.
        rules_.patience = rules_.most_under_way = rules_.patience_of_others = std::chrono::hours(1);
        make_queue();
    }
    void make_queue() {
        queue_.emplace(loop_.get(), rules_, [this] { return manager_->ready(); });
    }

    void wait(uid_t owner, int times = 1) {
        for (; times > 0; --times) {
            queue_->add(owner, {[this, owner](StartPlace place) { begin_one(owner, place); },
                                [](StartQueue::Refusal) { ADD_FAILURE() << "refused"; }});
        }
    }
    void begin_one(uid_t owner, StartPlace& place) {
        for (const std::string& unit : systemd_->being_started()) {
            const bool others_wait = queue_->waiting() > queue_->waiting(owner);
            EXPECT_FALSE(others_wait && owner_of_unit_.at(unit) == owner)
                << "a second one of " << owner << " while others wait";
        }
        const StoryPtr story =
            start(shell_action(owner), shell("exit 0"), {owner, owner, 4711}, std::move(place));
        owner_of_unit_["postern-job-" + story->job.text() + ".service"] = owner;
        stories_.push_back(story);
        order_.push_back(owner);
    }

    [[nodiscard]] bool all_over() const {
        return queue_->waiting() == 0 &&
               std::ranges::all_of(stories_, [](const StoryPtr& story) { return story->over(); });
    }
    // To the end of all; after each step no more is being started than may be.
    void go_to_the_end() {
        ASSERT_TRUE(go_on(
            [this] {
                expect_few();
                return all_over() || HasFailure();
            },
            Pace::calm));
    }
    void expect_few() {
        const std::vector<std::string> units = systemd_->being_started();
        EXPECT_LE(units.size(), rules_.at_once);
        most_ = std::max(most_, units.size());
    }
    // Of all jobs that have a folder.
    [[nodiscard]] std::vector<Record> records() const {
        std::vector<Record> all;
        const std::filesystem::path jobs(settings_.state_folder + "/jobs");
        for (const auto& folder : std::filesystem::directory_iterator(jobs)) {
            all.push_back(record_of(JobId(folder.path().filename())));
        }
        return all;
    }

    StartRules rules_;
    std::optional<StartQueue> queue_;
    std::vector<StoryPtr> stories_;  // of those that have had their turn
    std::vector<uid_t> order_;
    std::map<std::string, uid_t> owner_of_unit_;
    std::size_t most_ = 0;  // being started at a time
};

TEST_F(Starts, TwoHundredAreStartedTwoAtATime) {
    begin_starts(2);
    wait(anna, 200);
    go_to_the_end();
    EXPECT_EQ(most_, 2U);
    EXPECT_EQ(systemd_->executions(), 200);
    EXPECT_EQ(stories_.size(), 200U);
    expect_nothing_left();
}

TEST_F(Starts, AnothersIsNextAndOneOfAnOwnerAtATime) {
    begin_starts(2);
    wait(anna, 100);
    ASSERT_TRUE(go_on([this] { return stories_.size() == 10; }, Pace::calm));
    wait(berta);
    go_to_the_end();
    // Those that had begun before it waited, and then it.
    EXPECT_EQ(std::ranges::find(order_, berta) - order_.begin(), 10);
    EXPECT_EQ(systemd_->executions(), 101);
}

TEST_F(Starts, InTurnByOwner) {
    begin_starts(2);
    wait(clara, 3);
    wait(berta, 2);
    wait(anna, 3);
    go_to_the_end();
    EXPECT_THAT(order_, ElementsAre(anna, berta, clara, anna, berta, clara, anna, clara));
}

TEST_F(Starts, OneInATurnOfTheLoop) {
    begin_starts(StartRules::any);
    wait(anna, 3);
    wait(berta, 2);
    for (std::size_t turns = 1; turns <= 5; ++turns) {
        ASSERT_GT(sd_event_run(loop_.get(), 0), 0);
        EXPECT_LE(stories_.size(), turns);
    }
    ASSERT_TRUE(go_on([this] { return stories_.size() == 5; }, Pace::calm));
    EXPECT_THAT(order_, ElementsAre(anna, berta, anna, berta, anna));
    go_to_the_end();
}

// ---- Every way in which a start can end frees its place ----

class StartPlaces : public Starts {
  protected:
    // One has the only place, one waits.
    void begin_two() {
        begin_starts(1);
        wait(anna, 2);
        ASSERT_TRUE(go_on([this] { return stories_.size() == 1; }, Pace::calm));
        EXPECT_EQ(queue_->waiting(), 1U);
    }
    // What becomes of the first one lets the second one run.
    void expect_second_runs() {
        ASSERT_TRUE(go_on([this] { return stories_.size() == 2; }, Pace::calm));
        systemd_->set_life(good_life, good_events);
        go_to_the_end();
        // It may have found the connection broken, as the first one did.
        const StoryPtr& second = stories_.back();
        EXPECT_TRUE(second->result || (second->failure && second->failure->again)) << second;
        expect_nothing_left();
    }
};

TEST_F(StartPlaces, ItIsExecuted) {
    begin_two();
    systemd_->set_life(good_life,
                       {Event::answer, Event::forked, Event::executed, Event::job_removed});
    ASSERT_TRUE(go_on([this] { return stories_.size() == 2; }, Pace::calm));
    EXPECT_TRUE(stories_[0]->started);
    EXPECT_FALSE(stories_[0]->over()) << "its program still runs";
}

TEST_F(StartPlaces, ItIsNotExecuted) {
    for (const Life& life : {Life{"no program", CLD_EXITED, 203, "exit-code", false},
                             Life{"no resources", 0, 0, "resources", false}}) {
        SCOPED_TRACE(life.name);
        begin_two();
        systemd_->set_life(
            life, {Event::answer, Event::forked, Event::exits, Event::job_removed, Event::settles});
        expect_second_runs();
        EXPECT_TRUE(stories_[0]->failure);
    }
}

TEST_F(StartPlaces, ItIsRefused) {
    begin_two();
    systemd_->refuse("org.freedesktop.DBus.Error.InvalidArgs", "Value specified is wrong.");
    expect_second_runs();
    EXPECT_TRUE(stories_[0]->failure);
}

TEST_F(StartPlaces, ItNeverBegan) {
    begin_two();
    systemd_->break_at_start();
    expect_second_runs();
    ASSERT_TRUE(stories_[0]->failure);
    EXPECT_TRUE(stories_[0]->failure->again);
}

TEST_F(StartPlaces, ItsProgramIsNotSafe) {
    begin_starts(1);
    queue_->add(anna, {[this](StartPlace place) {
                           stories_.push_back(start(action("/no/such/program"), shell(""),
                                                    {anna, anna, 4711}, std::move(place)));
                       },
                       {}});
    wait(anna);
    expect_second_runs();
}

TEST_F(StartPlaces, ItIsStoppedBeforeItRuns) {
    begin_two();
    systemd_->set_life(good_life, {Event::answer, Event::goes});
    expect_second_runs();
    EXPECT_TRUE(stories_[0]->failure);
}

TEST_F(StartPlaces, ItIsEndedAtAnyPoint) {
    for (std::size_t steps = 0;; ++steps) {
        SCOPED_TRACE(steps);
        begin_two();
        if (go_on([this] { return stories_.size() == 2; }, Pace::calm, steps)) break;
        manager_->end(stories_[0]->job, Outcome::disconnected);
        expect_second_runs();
        if (HasFailure()) return;
    }
}

TEST_F(StartPlaces, TheConnectionBreaksAtMostPoints) {
    std::size_t cases = 0;
    for (const Unread unread : {Unread::lost, Unread::last_lost, Unread::done}) {
        for (std::size_t steps = 0;; ++steps) {
            SCOPED_TRACE(std::to_string(static_cast<int>(unread)) + " after " +
                         std::to_string(steps));
            begin_two();
            if (go_on([this] { return stories_.size() == 2; }, Pace::calm, steps)) break;
            systemd_->end_connection(unread);
            expect_second_runs();
            ++cases;
            if (HasFailure()) return;
        }
    }
    EXPECT_GT(cases, 30U);
}

// Its exec waits for something else than systemd.
TEST_F(StartPlaces, OneThatTakesLongKeepsNobodyWaiting) {
    begin_starts(1);
    rules_.most_under_way = std::chrono::milliseconds(1);
    make_queue();
    systemd_->set_life(good_life, {Event::answer, Event::forked});
    wait(anna);
    wait(berta);
    ASSERT_TRUE(go_on([this] { return stories_.size() == 2; }, Pace::calm));
    EXPECT_FALSE(stories_[0]->started);
}

// ---- The end of the guard ----

TEST_F(Starts, ThoseThatWaitAreRefusedWhenItStops) {
    begin_starts(1);
    std::vector<StartQueue::Refusal> refusals;
    wait(anna);
    for (int i = 0; i < 3; ++i) {
        queue_->add(berta, {[](const StartPlace&) { ADD_FAILURE() << "begun"; },
                            [&](StartQueue::Refusal why) { refusals.push_back(why); }});
    }
    queue_->remove(queue_->add(berta, {{}, {}}));
    ASSERT_TRUE(go_on([this] { return stories_.size() == 1; }, Pace::calm));
    queue_->close();
    EXPECT_THAT(refusals, ElementsAre(StartQueue::Refusal::closing, StartQueue::Refusal::closing,
                                      StartQueue::Refusal::closing));
    EXPECT_EQ(queue_->waiting(), 0U);
    go_to_the_end();
}

TEST_F(Starts, APlaceMayOutliveItsQueue) {
    begin_starts(1);
    wait(anna, 2);
    ASSERT_TRUE(go_on([this] { return stories_.size() == 1; }, Pace::calm));
    queue_.reset();
    EXPECT_TRUE(go_on([this] { return stories_[0]->over(); }, Pace::calm));
    EXPECT_EQ(stories_.size(), 1U);
}

// Whatever had its turn runs once, or is known never to have begun; of what waited there is
// nothing.
TEST_F(Starts, TheGuardIsKilledAtMostPointsWithOthersWaiting) {
    std::size_t cases = 0;
    for (const Unread unread : {Unread::lost, Unread::done}) {
        for (std::size_t steps = 0;; steps += 2) {
            SCOPED_TRACE(std::to_string(static_cast<int>(unread)) + " after " +
                         std::to_string(steps));
            begin_starts(2);
            wait(anna, 3);
            wait(berta, 2);
            if (go_on([this] { return all_over(); }, Pace::calm, steps)) break;
            const std::size_t begun = stories_.size();
            queue_.reset();
            kill_guard(unread);
            open();
            ASSERT_TRUE(go_on([this] { return idle(); }, Pace::calm));
            expect_nothing_left();
            ASSERT_EQ(records().size(), begun);
            for (const Record& record : records()) {
                const int executions = systemd_->executions(record.unit);
                EXPECT_EQ(executions, record.state == RecordState::ended ? 1 : 0);
                EXPECT_EQ(record.again, record.state == RecordState::failed);
            }
            ++cases;
            if (HasFailure()) return;
        }
    }
    EXPECT_GT(cases, 100U);
}

}  // namespace
}  // namespace postern::jobs
