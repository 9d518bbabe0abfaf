// As whom a job runs, and that nothing else of the guard's process state is left in it.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <sstream>

#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::HasSubstr;
using testing::Not;

class JobsIdentity : public JobsTest {
  protected:
    void SetUp() override {
        JobsTest::SetUp();
        if (!IsSkipped()) create();
    }
};

TEST_F(JobsIdentity, ItIsExactlyItsUserAndNothingIsLeftOfRoot) {
    policy::Action cat = action("/bin/cat", anna);
    cat.gid = 64011;
    cat.groups = {64010, 64011, 2147483648U, 4294967294U};
    const StoryPtr story = run(cat, command({"/bin/cat", "/proc/self/status"}));
    ASSERT_THAT(story, Exited(0));
    const std::string status = read_all(story->out);
    EXPECT_EQ(field_of(status, "Uid"), "64001\t64001\t64001\t64001");
    EXPECT_EQ(field_of(status, "Gid"), "64011\t64011\t64011\t64011");
    EXPECT_EQ(field_of(status, "Groups"), "64010 64011 2147483648 4294967294 ");
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
        EXPECT_EQ(field_of(status, set), "0000000000000000") << set;
    }
    for (const char* signals : {"SigBlk", "SigIgn", "SigCgt"}) {
        EXPECT_EQ(field_of(status, signals), "0000000000000000") << signals;
    }
    EXPECT_EQ(field_of(status, "Umask"), "0022");
}

TEST_F(JobsIdentity, SignalsAndUmaskOfTheGuardDoNotReachIt) {
    const mode_t umask_before = umask(0777);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    signal(SIGPIPE, SIG_IGN);
    const StoryPtr story = run(action("/bin/cat"), command({"/bin/cat", "/proc/self/status"}));
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    umask(umask_before);
    const std::string status = read_all(story->out);
    EXPECT_EQ(field_of(status, "SigBlk"), "0000000000000000");
    EXPECT_EQ(field_of(status, "SigIgn"), "0000000000000000");
    EXPECT_EQ(field_of(status, "Umask"), "0022");
    struct stat file{};
    ASSERT_EQ(stat((job_folder(story) + "/record.json").c_str(), &file), 0);
}

TEST_F(JobsIdentity, ARootJobKeepsItsCapabilitiesButNoGroupOfTheGuard) {
    const std::vector<gid_t> guard_groups = {0, 27, 64009};
    ASSERT_EQ(setgroups(guard_groups.size(), guard_groups.data()), 0);
    const StoryPtr story = run(action("/bin/cat"), command({"/bin/cat", "/proc/self/status"}));
    const gid_t root = 0;
    setgroups(1, &root);
    const std::string status = read_all(story->out);
    EXPECT_EQ(field_of(status, "Uid"), "0\t0\t0\t0");
    EXPECT_EQ(field_of(status, "Groups"), "0 ");
    EXPECT_EQ(field_of(status, "CapEff"), field_of(read_path("/proc/self/status"), "CapEff"));
    EXPECT_EQ(field_of(status, "CapInh"), "0000000000000000");
}

TEST_F(JobsIdentity, InheritableAndAmbientCapabilitiesOfTheGuardDoNotReachIt) {
    manager_.reset();
    EXPECT_TRUE(in_child([&] {
        __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
        std::array<__user_cap_data_struct, 2> sets{};
        ASSERT_EQ(syscall(SYS_capget, &header, sets.data()), 0);
        sets[0].inheritable = 1U << CAP_NET_RAW;
        ASSERT_EQ(syscall(SYS_capset, &header, sets.data()), 0);
        ASSERT_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0), 0);
        // And they would not be cleared with the uid.
        ASSERT_EQ(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), 0);
        create();
        for (const uid_t uid : {anna, uid_t{0}}) {
            const StoryPtr story =
                run(action("/bin/cat", uid), command({"/bin/cat", "/proc/self/status"}));
            const std::string status = read_all(story->out);
            EXPECT_EQ(field_of(status, "CapInh"), "0000000000000000") << uid;
            EXPECT_EQ(field_of(status, "CapAmb"), "0000000000000000") << uid;
            EXPECT_EQ(field_of(status, "CapEff") == "0000000000000000", uid == anna);
        }
        manager_.reset();
    }));
}

TEST_F(JobsIdentity, TheGuardsSessionKeyringDoesNotReachIt) {
    manager_.reset();
    EXPECT_TRUE(in_child([&] {
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0) {
            GTEST_SKIP() << "no keyrings here";
        }
        ASSERT_GT(syscall(SYS_add_key, "user", "guards-own-key", "x", 1, KEY_SPEC_SESSION_KEYRING),
                  0);
        ASSERT_THAT(read_path("/proc/keys"), HasSubstr("guards-own-key"));
        create();
        const StoryPtr story = run(action("/bin/cat", anna), command({"/bin/cat", "/proc/keys"}));
        EXPECT_THAT(story, Exited(0));
        EXPECT_THAT(read_all(story->out), Not(HasSubstr("guards-own-key")));
        manager_.reset();
    }));
}

TEST_F(JobsIdentity, TheGuardsOomScoreDoesNotReachIt) {
    // Upwards, which every kernel and container allows.
    const char* own = "/proc/self/oom_score_adj";
    const std::string before = read_path(own);
    write_path(own, "500", 0644);
    ASSERT_EQ(read_path(own), "500\n");
    const StoryPtr story = run(action("/bin/cat", anna), command({"/bin/cat", own}));
    write_path(own, before, 0644);
    EXPECT_EQ(read_all(story->out), "0\n");
}

TEST_F(JobsIdentity, SixtyFiveThousandGroups) {
    policy::Action cat = action("/bin/sh", anna);
    cat.groups.clear();
    for (gid_t group = 1; group <= 65536; ++group) cat.groups.push_back(group + 100'000);
    const StoryPtr story = run(cat, shell("grep ^Groups: /proc/self/status | wc -w"));
    ASSERT_THAT(story, Exited(0));
    EXPECT_EQ(read_all(story->out), "65537\n");
}

TEST_F(JobsIdentity, NoControllingTerminalSoTheCallersCantBeReached) {
    // TIOCSTI needs the terminal, and /dev/tty would be the way to it.
    const StoryPtr story =
        run_shell("cut -d' ' -f1,5,6,7 /proc/$$/stat; : </dev/tty || echo none", anna);
    const auto lines = lines_of(read_all(story->out));
    ASSERT_EQ(lines.size(), 1U) << read_all(story->err);
    std::istringstream stat(lines[0]);
    int pid = 0;
    int group = 0;
    int session = 0;
    int terminal = -1;
    stat >> pid >> group >> session >> terminal;
    EXPECT_EQ(group, pid);
    EXPECT_EQ(session, pid);
    EXPECT_EQ(terminal, 0);
    EXPECT_THAT(read_all(story->err), HasSubstr("No such device or address"));
}

TEST_F(JobsIdentity, WorkingDirectoryIsEnteredAsTheJobsUser) {
    policy::Action pwd = action("/bin/pwd", anna);
    pwd.working_directory = open_folder_;
    EXPECT_EQ(read_all(run(pwd, command({"/bin/pwd"}))->out), open_folder_ + "\n");
    const std::string closed = folder_ / "closed";
    ASSERT_EQ(mkdir(closed.c_str(), 0700), 0);
    pwd.working_directory = closed;
    const StoryPtr story = run(pwd, command({"/bin/pwd"}));
    ASSERT_TRUE(story->failure);
    EXPECT_EQ(story->failure->message,
              "the program could not be started: Permission denied while changing to its working "
              "directory");
}

}  // namespace
}  // namespace postern::jobs
