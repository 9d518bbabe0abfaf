// Those who follow a job: several, from later on, and what becomes of it when nobody does.
#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "daemon/jobs/followers.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::IsEmpty;

class JobsFollowers : public JobsTest {
  protected:
    void SetUp() override {
        JobsTest::SetUp();
        if (!IsSkipped()) create();
    }
    std::pair<StoryPtr, FollowerId> follow(const StoryPtr& of, bool is_owners = true) {
        auto story = std::make_shared<Story>();
        story->job = of->job;
        story->is_owners = is_owners;
        const auto id = manager_->follow(of->job, follower(story));
        EXPECT_TRUE(id) << (id ? "" : id.error().message);
        EXPECT_FALSE(story->started) << "called from inside follow()";
        return {story, id ? *id : 0};
    }
    [[nodiscard]] policy::Action ends_with_its_caller() const {
        policy::Action made = shell_action();
        made.description.kill_on_disconnect = true;
        return made;
    }
};

TEST_F(JobsFollowers, EachReadsFromWhereItWants) {
    const StoryPtr first =
        start_shell("echo one; " + wait_for("more") + "echo two; " + wait_for("end") + "exit 3");
    ASSERT_TRUE(loop_until([&] { return first->out && read_all(first->out) == "one\n"; }));
    const auto [second, id] = follow(first);
    ASSERT_TRUE(loop_until([&] { return second->started; }));
    EXPECT_EQ(read_all(second->out), "one\n");
    // Only who waits is told, and only of what is past its own offset.
    manager_->await_output(first->job, first_follower, 4, 0);
    manager_->await_output(first->job, id, 0, 0);
    ASSERT_TRUE(loop_until([&] { return second->outputs == 1; }));
    EXPECT_EQ(first->outputs, 0);
    let("more");
    ASSERT_TRUE(loop_until([&] { return first->outputs == 1; }));
    EXPECT_EQ(second->outputs, 1);
    let("end");
    ASSERT_TRUE(loop_until([&] { return first->over() && second->over(); }));
    EXPECT_THAT(first, Exited(3));
    EXPECT_THAT(second, Exited(3));
    EXPECT_EQ(read_all(second->out), "one\ntwo\n");
}

TEST_F(JobsFollowers, WhoComesBeforeItRunsHearsWhatBecomesOfIt) {
    const StoryPtr first = start_shell("exit 4");
    const auto [second, id] = follow(first);
    ASSERT_TRUE(loop_until([&] { return first->over() && second->over(); }));
    EXPECT_TRUE(second->started);
    EXPECT_THAT(second, Exited(4));

    const StoryPtr never = start(action("/nonexistent/program"), command({"x"}));
    const auto [also, other] = follow(never);
    ASSERT_TRUE(loop_until([&] { return never->over() && also->over(); }));
    ASSERT_TRUE(also->failure);
    EXPECT_EQ(also->failure->message, "the program could not be started: it does not exist");
    const Record record = record_of(never);
    EXPECT_EQ(record.state, RecordState::failed);
    EXPECT_EQ(record.told, "the program could not be started: it does not exist");
}

TEST_F(JobsFollowers, WhoHasLeftHearsNothing) {
    const StoryPtr first = start_shell(wait_for("end"));
    const auto [second, id] = follow(first);
    ASSERT_TRUE(loop_until([&] { return first->started && second->started; }));
    manager_->leave(first->job, first_follower, Leaving::gone);
    manager_->leave(first->job, first_follower, Leaving::gone);
    let("end");
    ASSERT_TRUE(loop_until([&] { return second->over(); }));
    EXPECT_THAT(second, Exited(0));
    EXPECT_FALSE(first->over());
}

TEST_F(JobsFollowers, AJobGoesOnWithoutAny) {
    const StoryPtr first = start_shell(wait_for("end") + "exit 5");
    ASSERT_TRUE(loop_until([&] { return first->started; }));
    manager_->leave(first->job, first_follower, Leaving::gone);
    let("end");
    ASSERT_TRUE(loop_until([&] { return manager_->active() == 0; }));
    const Record record = record_of(first);
    EXPECT_EQ(record.result.outcome, Outcome::exited);
    EXPECT_EQ(record.result.status, 5);
}

TEST_F(JobsFollowers, OneThatEndsWithItsCallerEndsWhenTheLastHasGone) {
    const StoryPtr first = start(ends_with_its_caller(), shell(wait_for("never")));
    const auto [second, id] = follow(first);
    ASSERT_TRUE(loop_until([&] { return first->started && second->started; }));
    manager_->leave(first->job, first_follower, Leaving::gone);
    for (int round = 0; round < 10; ++round) sd_event_run(loop_.get(), 20'000);
    EXPECT_EQ(manager_->active(), 1U);
    EXPECT_FALSE(record_of(first).ending);
    manager_->leave(first->job, id, Leaving::gone);
    ASSERT_TRUE(loop_until([&] { return manager_->active() == 0; }));
    EXPECT_EQ(record_of(first).result.outcome, Outcome::disconnected);
}

TEST_F(JobsFollowers, OneThatEndsWithItsCallerWaitsForWhoWasInterrupted) {
    manager_.reset();
    settings_.return_patience = std::chrono::milliseconds{300};
    create();
    const StoryPtr first = start(ends_with_its_caller(), shell(wait_for("end") + "exit 6"));
    ASSERT_TRUE(loop_until([&] { return first->started; }));
    manager_->leave(first->job, first_follower, Leaving::interrupted);
    const auto [second, id] = follow(first);
    // Three times the patience, however often the loop turns in it.
    EXPECT_FALSE(loop_until([&] { return manager_->active() == 0; }, 1));
    manager_->leave(first->job, id, Leaving::interrupted);
    ASSERT_TRUE(loop_until([&] { return manager_->active() == 0; }));
    EXPECT_EQ(record_of(first).result.outcome, Outcome::disconnected);
}

// An administrator who looks on, while the owner is on its way back and afterwards.
TEST_F(JobsFollowers, WhoIsNotItsOwnerNeitherEndsNorKeepsIt) {
    manager_.reset();
    settings_.return_patience = std::chrono::milliseconds{500};
    create();
    const StoryPtr first = start(ends_with_its_caller(), shell(wait_for("end") + "exit 6"));
    ASSERT_TRUE(loop_until([&] { return first->started; }));
    manager_->leave(first->job, first_follower, Leaving::interrupted);
    const auto [looker, looks] = follow(first, false);
    manager_->leave(first->job, looks, Leaving::gone);
    const auto [second, id] = follow(first);
    EXPECT_FALSE(loop_until([&] { return manager_->active() == 0; }, 1));
    const auto [another, looks_too] = follow(first, false);
    manager_->leave(first->job, id, Leaving::gone);
    ASSERT_TRUE(loop_until([&] { return manager_->active() == 0; }));
    EXPECT_EQ(record_of(first).result.outcome, Outcome::disconnected);
}

TEST_F(JobsFollowers, WhatIsOverIsReadFromItsRecord) {
    const StoryPtr story = run_shell("echo out; echo err >&2; exit 7");
    const auto found = manager_->find(story->job);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->state, RecordState::ended);
    EXPECT_EQ(found->result.status, 7);
    const auto output = manager_->open_output(story->job);
    ASSERT_TRUE(output);
    EXPECT_EQ(read_all((*output)[0]), "out\n");
    EXPECT_EQ(read_all((*output)[1]), "err\n");
    EXPECT_FALSE(manager_->follow(story->job, follower(std::make_shared<Story>())));
}

TEST_F(JobsFollowers, OnlyTheNameOfAJobFindsOne) {
    const StoryPtr story = run_shell("exit 0");
    for (const std::string& name :
         {std::string(), std::string("."), "../jobs/" + story->job.text(), story->job.text() + "/",
          story->job.text() + std::string(1, '\0'), std::string(32, 'f')}) {
        EXPECT_FALSE(manager_->find(JobId(name))) << name;
    }
}

TEST_F(JobsFollowers, AKeyFindsItsJobWhileItRunsAndForAsLongAsItsRecordIsKept) {
    Requester requester{anna, anna, 4711};
    requester.groups = manager_->digest(std::vector<gid_t>{anna});
    requester.unit = "ci.service";
    requester.key = "deploy-1";
    const auto jobs_of = [&](uid_t uid, const std::string& key) {
        std::vector<JobId> jobs;
        Requester who = requester;
        who.uid = uid;
        who.key = key;
        const auto found = manager_->find_key(who);
        EXPECT_TRUE(found);
        for (const Record& record : *found) jobs.push_back(record.job);
        return jobs;
    };
    const StoryPtr story = start(shell_action(), shell(wait_for("end")), requester);
    EXPECT_THAT(jobs_of(anna, "deploy-1"), testing::ElementsAre(story->job));
    EXPECT_THAT(jobs_of(berta, "deploy-1"), IsEmpty());
    EXPECT_THAT(jobs_of(anna, "deploy-2"), IsEmpty());
    let("end");
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    EXPECT_THAT(jobs_of(anna, "deploy-1"), testing::ElementsAre(story->job));
    // A guard that comes after this one knows it too.
    manager_.reset();
    settings_.retention.records_per_payer = 1;
    create();
    EXPECT_THAT(jobs_of(anna, "deploy-1"), testing::ElementsAre(story->job));
    const auto record = manager_->find(story->job);
    ASSERT_TRUE(record);
    // With the key of before.
    EXPECT_EQ(record->requester.groups, manager_->digest(std::vector<gid_t>{anna}));
    EXPECT_NE(record->requester.groups, manager_->digest(std::vector<gid_t>{berta}));
    EXPECT_EQ(std::filesystem::status(folder_ / "state/groups.key").permissions(),
              std::filesystem::perms(0600));
    EXPECT_EQ(record->requester.unit, "ci.service");
    // One that can't be read is not one that is not there.
    const std::string file = job_folder(story) + "/record.json";
    std::filesystem::rename(file, file + ".away");
    EXPECT_FALSE(manager_->find_key(requester));
    std::filesystem::rename(file + ".away", file);
    // Its file may be older than what is known of it, where the disk was full.
    const std::string text = read_path(file);
    Record stale = *record;
    stale.state = RecordState::running;
    write_path(file, to_json(stale), 0600);
    for (const Record& known :
         {manager_->find_key(requester)->at(0), *manager_->find(story->job)}) {
        EXPECT_EQ(known.state, RecordState::ended);
        EXPECT_EQ(known.result, record->result);
    }
    write_path(file, text, 0600);
    // Above the limit it is kept for its key, which is young.
    EXPECT_THAT(run_shell("exit 0"), Exited(0));
    EXPECT_THAT(jobs_of(anna, "deploy-1"), testing::ElementsAre(story->job));
    ASSERT_TRUE(manager_->find(story->job));
    EXPECT_EQ(manager_->find(story->job)->result, record->result);
}

}  // namespace
}  // namespace postern::jobs
