// Many jobs, and users who fight against their own.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::HasSubstr;

class Strain : public JobsTest {};

// Users of these tests alone: what they do to themselves would hit tests that run beside.
constexpr uid_t stopper_uid = 64021;
constexpr uid_t crowded_uid = 64022;

TEST_F(Strain, HundredsOfJobsAtOnce) {
    // All are begun before the first is looked after: on a busy machine that takes a while.
    settings_.start_patience = std::chrono::minutes(10);
    settings_.retention.records_per_payer = 1000;
    create();
    const std::string go = open_folder_ + "/go";
    // A barrier that costs no processor time: open() of a FIFO waits for the other end.
    ASSERT_EQ(mkfifo(go.c_str(), 0600), 0);
    ASSERT_EQ(chmod(go.c_str(), 0644), 0);
#ifdef POSTERN_SANITIZED
    constexpr std::size_t count = 50;  // each launcher costs 20 times as much
#else
    constexpr std::size_t count = 300;
#endif
    std::vector<StoryPtr> stories;
    for (std::size_t i = 0; i < count; ++i) {
        stories.push_back(start_shell("read line <" + go + "; echo " + std::to_string(i) +
                                          "; exit " + std::to_string(i % 200),
                                      i % 2 == 0 ? anna : berta));
    }
    ASSERT_TRUE(loop_until(
        [&] {
            return std::all_of(stories.begin(), stories.end(), [](auto& s) { return s->started; });
        },
        110));
    EXPECT_EQ(manager_->active(), count);
    EXPECT_EQ(manager_->active(anna), count);
    // As long as this is open, so is every read; then they all see the end of the file.
    UniqueFd gate(open(go.c_str(), O_RDWR | O_CLOEXEC));
    const std::string lines(count, '\n');
    ASSERT_EQ(write(gate.get(), lines.data(), lines.size()), static_cast<ssize_t>(count));
    ASSERT_TRUE(loop_until(
        [&] {
            return std::all_of(stories.begin(), stories.end(), [](auto& s) { return s->over(); });
        },
        110));
    for (std::size_t i = 0; i < count; ++i) {
        EXPECT_THAT(stories[i], Exited(static_cast<int>(i % 200)));
        EXPECT_EQ(read_all(stories[i]->out), std::to_string(i) + "\n");
    }
    EXPECT_EQ(manager_->active(), 0U);
}

// A process of the user, and as its child until it is killed.
pid_t process_of(uid_t uid, const std::function<void()>& what) {
    return fork_child([uid, &what] {
        // Not beyond a case that has failed: they have a copy of what its programs are started by,
        // which then waits for its end. A change of ids takes the signal back
        // (PR_SET_PDEATHSIG(2const)).
        if (setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0 &&
            prctl(PR_SET_PDEATHSIG, SIGKILL) == 0) {
            what();
        }
        return 0;
    });
}

pid_t stopper_of(uid_t uid) {
    return process_of(uid, [] {
        while (true) kill(-1, SIGSTOP);
    });
}

TEST_F(Strain, AUserWhoStopsAllItsProcessesHoldsUpOnlyItsOwnJobs) {
    // Nothing that was stopped goes on by itself: who waited for it would wait for ever.
    settings_.start_patience = std::chrono::minutes(10);
    create();
    const pid_t stopper = stopper_of(stopper_uid);
    std::vector<StoryPtr> stories;
    for (int i = 0; i < 5; ++i) {
        stories.push_back(start_shell("exit 4", stopper_uid));
    }
    for (int i = 0; i < 5; ++i) EXPECT_THAT(run_shell("exit 3", berta), Exited(3));
    kill(stopper, SIGKILL);
    waitpid(stopper, nullptr, 0);
    waitpid(process_of(stopper_uid, [] { kill(-1, SIGCONT); }), nullptr, 0);
    EXPECT_TRUE(loop_until([&] {
        return std::all_of(stories.begin(), stories.end(), [](auto& s) { return s->over(); });
    }));
    for (const StoryPtr& story : stories) EXPECT_THAT(story, Exited(4));
}

TEST_F(Strain, TheJobsOfAUserWhoStopsAllItsProcessesEndAllTheSame) {
    settings_.start_patience = std::chrono::milliseconds(500);
    settings_.kill_grace = std::chrono::milliseconds(100);
    create();
    const pid_t stopper = stopper_of(stopper_uid);
    policy::Action own = shell_action(stopper_uid);
    own.description.timeout = std::chrono::milliseconds(300);
    std::vector<StoryPtr> stories;
    for (int i = 0; i < 5; ++i) stories.push_back(start(own, shell("sleep 100")));
    // Its own end by force, at whichever point they stood.
    EXPECT_TRUE(loop_until([&] {
        return std::all_of(stories.begin(), stories.end(), [](auto& s) { return s->over(); });
    }));
    for (const StoryPtr& story : stories) {
        if (story->result) {
            EXPECT_EQ(story->result->outcome, Outcome::timeout);
        } else {
            EXPECT_EQ(story->failure->message, "the program could not be started in time");
        }
    }
    kill(stopper, SIGKILL);
    waitpid(stopper, nullptr, 0);
}

TEST_F(Strain, AUserWithoutProcessesLeftFailsHonestlyAndAlone) {
    // The limit is the guard's own, and counts for each real uid (setrlimit(2)): in a child, since
    // nothing raises the hard limit again but this test's privilege.
    EXPECT_TRUE(in_child([&] {
        constexpr rlim_t processes = 20;
        const rlimit limit{processes, processes};
        ASSERT_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
        std::vector<pid_t> pids;
        for (rlim_t i = 0; i < processes + 1; ++i) {
            pids.push_back(process_of(crowded_uid, [] { pause(); }));
        }
        create();
        // They count once they have changed their uid: the start fails when they all have.
        StoryPtr story;
        ASSERT_TRUE(loop_until([&] {
            story = run_shell("exit 0", crowded_uid);
            return story->failure.has_value();
        }));
        EXPECT_EQ(story->failure->message,
                  "the program could not be started: Resource temporarily unavailable while "
                  "executing the program");
        EXPECT_THAT(run_shell("exit 4", berta), Exited(4));
        manager_.reset();
        for (const pid_t pid : pids) {
            kill(pid, SIGKILL);
            waitpid(pid, nullptr, 0);
        }
    }));
}

TEST_F(Strain, AJobThatWritesWithoutEndDoesNotSlowOthers) {
    settings_.stored_output_bytes = 1 << 20;
    create();
    // What it takes on this machine, with what else that has to do, is measured and not assumed.
    const auto time_of_five = [&] {
        const auto before = std::chrono::steady_clock::now();
        for (int i = 0; i < 5; ++i) EXPECT_THAT(run_shell("exit 3", berta), Exited(3));
        return std::chrono::steady_clock::now() - before;
    };
    const auto alone = time_of_five();
    const StoryPtr flood = start_shell("exec yes", anna);
    flood->on_started = [&] { manager_->await_output(flood->job, first_follower, 0, 0); };
    flood->on_output = flood->on_started;
    ASSERT_TRUE(loop_until([&] { return flood->outputs > 3; }));
    EXPECT_LT(time_of_five(), 10 * alone + std::chrono::seconds(5));
    manager_->end(flood->job, Outcome::disconnected);
    ASSERT_TRUE(loop_until([&] { return flood->over(); }));
    EXPECT_THAT(flood, EndedBySignal(Outcome::disconnected, SIGTERM));
}

}  // namespace
}  // namespace postern::jobs
