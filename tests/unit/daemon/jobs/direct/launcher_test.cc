// The launcher itself, without a manager: what becomes of it when the guard dies or lies.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "daemon/jobs/direct/launch.h"
#include "daemon/jobs/direct/proc.h"
#include "daemon/launcher/order.h"
#include "host/memory_file.h"
#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/jobs/fixture.h"
#include "tests/unit/daemon/readable.h"

namespace postern::jobs {
namespace {

using testing::HasSubstr;

class Launcher : public JobsTest {
  protected:
    launcher::Order order_to_touch(const std::string& path) const {
        launcher::Order order;
        order.uid = anna;
        order.gid = anna;
        order.groups = {anna};
        order.program = "/usr/bin/touch";
        order.working_directory = "/";
        order.argv = {"/usr/bin/touch", path};
        order.environment = {"HIDDEN=in-the-order"};
        return order;
    }

    Launched launch_with(std::span<const std::uint8_t> order) const {
        const UniqueFd program(open("/usr/bin/touch", O_PATH | O_CLOEXEC));
        const UniqueFd launcher(open(POSTERN_LAUNCHER, O_PATH | O_CLOEXEC));
        const UniqueFd output(
            open((folder_ / "output").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        const auto null = null_file();
        const auto file = sealed_file("order", order);
        EXPECT_TRUE(file);
        auto launched = launch(*spawner_, {launcher.get(), null->get(), output.get(), output.get(),
                                           file->get(), program.get(), -1});
        EXPECT_TRUE(launched);
        return std::move(*launched);
    }

    // What it says next; absent: end of file, or nothing within 50 s.
    static std::optional<launcher::Report> next_report(const Launched& launched) {
        EXPECT_TRUE(readable_within(launched.control.get()));
        launcher::ReportBytes bytes{};
        const ssize_t got = recv(launched.control.get(), bytes.data(), bytes.size(), 0);
        if (got <= 0) return std::nullopt;
        const auto report = launcher::decode_report(bytes);
        EXPECT_TRUE(report);
        return *report;
    }

    static int wait_status(pid_t pid) {
        EXPECT_TRUE(gone_within(pid, 50)) << "the launcher still stands";
        int status = -1;
        EXPECT_EQ(waitpid(pid, &status, WNOHANG), pid);
        return status;
    }

    static constexpr int left_without_running = 1 << 8;  // exit code 1
};

TEST_F(Launcher, NothingOfTheJobIsInItsArgumentsOrEnvironment) {
    const Launched launched = launch_with(*encode(order_to_touch(open_folder_ + "/mark")));
    const auto ready = next_report(launched);
    ASSERT_TRUE(ready);
    ASSERT_EQ(ready->stage, launcher::Stage::ready) << ready->error;
    const std::string proc = "/proc/" + std::to_string(launched.pid);
    EXPECT_EQ(read_path(proc + "/cmdline"), std::string("postern-launcher") + '\0');
    EXPECT_EQ(read_path(proc + "/environ"), "");
    // It has dropped everything already, and its user can't look into it.
    EXPECT_EQ(field_of(read_path(proc + "/status"), "Uid"), "64001\t64001\t64001\t64001");
    struct stat status{};
    ASSERT_EQ(stat((proc + "/fd").c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, 0U);
    kill(launched.pid, SIGKILL);
    wait_status(launched.pid);
}

TEST_F(Launcher, TheGuardDiesBetweenReadyAndGoAndNothingRuns) {
    const std::string mark = open_folder_ + "/mark";
    const std::string pid_file = folder_ / "pid";
    // The launcher is this process's child when its guard has died.
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    const int status = end_of(fork_child([&] {
        start_spawner();
        const Launched launched = launch_with(*encode(order_to_touch(mark)));
        const auto report = next_report(launched);
        if (report && report->stage == launcher::Stage::ready) {
            write_path(pid_file, std::to_string(launched.pid) + "\n", 0600);
        }
        return kill(getpid(), SIGKILL);
    }));
    ASSERT_TRUE(WIFSIGNALED(status));
    const pid_t launcher = pid_in(pid_file);
    ASSERT_GT(launcher, 1);
    EXPECT_EQ(wait_status(launcher), left_without_running);
    EXPECT_NE(access(mark.c_str(), F_OK), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

TEST_F(Launcher, AnythingButGoMeansNo) {
    const std::string mark = open_folder_ + "/mark";
    const Launched launched = launch_with(*encode(order_to_touch(mark)));
    ASSERT_TRUE(next_report(launched));
    ASSERT_EQ(send(launched.control.get(), "x", 1, 0), 1);
    EXPECT_EQ(wait_status(launched.pid), left_without_running);
    EXPECT_NE(access(mark.c_str(), F_OK), 0);
}

TEST_F(Launcher, WithGoItBecomesTheProgramAndItsControlSocketCloses) {
    const std::string mark = open_folder_ + "/mark";
    const Launched launched = launch_with(*encode(order_to_touch(mark)));
    ASSERT_TRUE(next_report(launched));
    ASSERT_EQ(send(launched.control.get(), &launcher::go, 1, 0), 1);
    EXPECT_FALSE(next_report(launched));
    EXPECT_EQ(wait_status(launched.pid), 0);
    EXPECT_EQ(access(mark.c_str(), F_OK), 0);
}

TEST_F(Launcher, EachFailureIsToldWithItsStageAndReason) {
    const auto told = [&](const launcher::Order& order) {
        const Launched launched = launch_with(*encode(order));
        const auto report = next_report(launched);
        wait_status(launched.pid);
        EXPECT_TRUE(report);
        return report ? std::pair(report->stage, report->error)
                      : std::pair(launcher::Stage::ready, 0);
    };
    launcher::Order order = order_to_touch("x");
    order.join_cgroup = true;  // and no descriptor for it
    EXPECT_EQ(told(order), std::pair(launcher::Stage::cgroup, EBADF));
    order = order_to_touch("x");
    order.working_directory = "/nonexistent";
    EXPECT_EQ(told(order), std::pair(launcher::Stage::working_directory, ENOENT));
    order = order_to_touch("x");
    order.groups.assign(65'537, 1);
    EXPECT_EQ(told(order), std::pair(launcher::Stage::groups, EINVAL));
    order = order_to_touch("x");
    order.uid = 0xffffffff;
    EXPECT_EQ(told(order).first, launcher::Stage::uid);
    order = order_to_touch("x");
    order.gid = 0xffffffff;
    EXPECT_EQ(told(order).first, launcher::Stage::gid);
}

TEST_F(Launcher, BytesThatAreNoOrderAreTold) {
    auto bytes = *encode(order_to_touch("x"));
    bytes.pop_back();
    const Launched launched = launch_with(bytes);
    const auto report = next_report(launched);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->stage, launcher::Stage::order);
    EXPECT_EQ(report->error, EBADMSG);
    wait_status(launched.pid);
}

// ---- With a manager ----

class KilledLauncher : public JobsTest {};

// The children of this process that live, but for its keeper of output: a manager's launcher. (A
// manager that another test destroyed left its dead to init.)
std::vector<pid_t> children() {
    std::vector<pid_t> pids;
    // Each is its thread's that started it.
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::istringstream text(read_path(task.path().string() + "/children"));
        for (pid_t pid = 0; text >> pid;) {
            const auto stat = stat_of(pid);
            const std::string words = read_path("/proc/" + std::to_string(pid) + "/cmdline");
            const bool keeper = words.starts_with("postern-output");
            if (stat && !stat->zombie && !keeper) pids.push_back(pid);
        }
    }
    return pids;
}

TEST_F(KilledLauncher, IsAFailedStart) {
    create();
    const StoryPtr story = start_shell("touch " + open_folder_ + "/mark");
    ASSERT_EQ(children().size(), 1U);
    kill(children()[0], SIGKILL);
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    ASSERT_TRUE(story->failure);
    EXPECT_THAT(story->failure->detail, HasSubstr("signal 9"));
    EXPECT_NE(access((open_folder_ + "/mark").c_str(), F_OK), 0);
    EXPECT_EQ(record_of(story).state, RecordState::failed);
    EXPECT_EQ(manager_->active(), 0U);
}

TEST_F(KilledLauncher, IsAFailedStartToo_IfItNeverGetsReady) {
    settings_.start_patience = std::chrono::seconds(5);  // others need less, with sanitizers too
    create();
    const StoryPtr story = start_shell("touch " + open_folder_ + "/mark");
    ASSERT_EQ(children().size(), 1U);
    kill(children()[0], SIGSTOP);
    // Others are served meanwhile.
    EXPECT_THAT(run_shell("exit 3", berta), Exited(3));
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    ASSERT_TRUE(story->failure);
    EXPECT_EQ(story->failure->message, "the program could not be started in time");
    EXPECT_NE(access((open_folder_ + "/mark").c_str(), F_OK), 0);
    EXPECT_TRUE(children().empty());
}

}  // namespace
}  // namespace postern::jobs
