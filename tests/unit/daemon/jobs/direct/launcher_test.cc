// The launcher itself, without a manager: what becomes of it when the guard dies or lies.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "base/control_data.h"
#include "base/limits.h"
#include "daemon/jobs/direct/launch.h"
#include "daemon/jobs/direct/proc.h"
#include "daemon/launcher/order.h"
#include "host/memory_file.h"  // null_file
#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/jobs/direct/children.h"
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

    Launched waiting() const {
        auto launched = start_launcher(*spawner_, settings_.launcher.get());
        EXPECT_TRUE(launched);
        return std::move(*launched);
    }

    Launched launch_with(std::span<const std::uint8_t> order) const {
        const UniqueFd program(open("/usr/bin/touch", O_PATH | O_CLOEXEC));
        const UniqueFd output(
            open((folder_ / "output").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        const auto null = null_file();
        Launched launched = waiting();
        EXPECT_TRUE(give_job(launched, order,
                             {null->get(), output.get(), output.get(), program.get(), -1}));
        return launched;
    }

    // What one says that was sent this.
    std::pair<launcher::Stage, int> told_of(std::string_view text,
                                            std::span<const int> descriptors) const {
        const Launched launched = waiting();
        iovec data{const_cast<char*>(text.data()), text.size()};
        DescriptorSpace<8> space;
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        put_descriptors(message, space.bytes, descriptors);
        EXPECT_EQ(sendmsg(launched.control.get(), &message, MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
        const auto report = next_report(launched);
        EXPECT_EQ(wait_status(launched.pid), left_without_running);
        EXPECT_TRUE(report);
        return report ? std::pair(report->stage, report->error)
                      : std::pair(launcher::Stage::ready, 0);
    }

    static bool loop_until_so(const std::function<bool()>& so) {
        for (int i = 0; i < 5000 && !so(); ++i) usleep(10'000);
        return so();
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

TEST_F(Launcher, OneThatWaitsHasNothingButItsControlSocketAndLeavesWithTheGuard) {
    Launched launched = waiting();
    const std::string proc = "/proc/" + std::to_string(launched.pid);
    const auto open_files = [&] {
        std::string names;
        for (const auto& file : std::filesystem::directory_iterator(proc + "/fd")) {
            names += file.path().filename().string() + ' ';
        }
        return names;
    };
    // Its own POSIX session is the last but a few things that it makes before it waits.
    EXPECT_TRUE(loop_until_so([&] { return getsid(launched.pid) == launched.pid; }));
    EXPECT_TRUE(loop_until_so([&] { return open_files() == "3 "; })) << open_files();
    EXPECT_EQ(read_path(proc + "/cmdline"), std::string("postern-launcher") + '\0');
    EXPECT_EQ(read_path(proc + "/environ"), "");
    launched.control.reset();
    EXPECT_EQ(wait_status(launched.pid), left_without_running);
}

TEST_F(Launcher, AnOrderComesInItsMessageOrInAFile) {
    for (const std::size_t more : {std::size_t{0}, std::size_t{1}}) {
        launcher::Order order = order_to_touch(open_folder_ + "/mark");
        const std::size_t size = encode(order)->size();
        order.environment[0].append(limits::launcher_order_bytes - size + more, 'x');
        ASSERT_EQ(encode(order)->size(), limits::launcher_order_bytes + more);
        const Launched launched = launch_with(*encode(order));
        const auto report = next_report(launched);
        ASSERT_TRUE(report);
        EXPECT_EQ(report->stage, launcher::Stage::ready) << report->error;
        end_launcher(Launched{launched.pid, duplicate(launched.process.get()), {}});
    }
}

TEST_F(Launcher, AMessageThatIsNoGuardsIsTold) {
    const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    const std::vector<int> files(7, null.get());
    const auto so_many = [&](std::size_t count) { return std::span(files).first(count); };
    const auto bytes = *encode(order_to_touch("x"));
    const std::string order(bytes.begin(), bytes.end());
    const auto of_kind = [&](int kind) { return std::string(1, static_cast<char>(kind)) + order; };
    const std::pair bad_order(launcher::Stage::order, EBADMSG);
    EXPECT_EQ(told_of("x", {}), bad_order);
    EXPECT_EQ(told_of(of_kind(0), so_many(3)), bad_order);
    EXPECT_EQ(told_of(of_kind(0), so_many(5)), bad_order);
    EXPECT_EQ(told_of(of_kind(launcher::with_cgroup), so_many(4)), bad_order);
    EXPECT_EQ(told_of(of_kind(4), so_many(4)), bad_order);
    EXPECT_EQ(told_of(of_kind(3), so_many(7)), std::pair(launcher::Stage::descriptors, EMFILE));
    const std::string too_long(limits::launcher_order_bytes + 2, '\0');
    EXPECT_EQ(told_of(too_long, so_many(4)), std::pair(launcher::Stage::order, EMSGSIZE));
    // /dev/null has the size of no order.
    EXPECT_EQ(told_of(of_kind(launcher::order_in_file), so_many(5)), bad_order);
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
    settings_.launchers_waiting = 0;
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
