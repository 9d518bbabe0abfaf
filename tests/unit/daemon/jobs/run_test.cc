// What a job is given: environment, descriptors, arguments; and how its end is told.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>

#include "daemon/loop/clock.h"
#include "host/boot_id.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class JobsRun : public JobsTest {
  protected:
    void SetUp() override {
        JobsTest::SetUp();
        if (!IsSkipped()) create();
    }
};

TEST_F(JobsRun, TheEnvironmentIsTheDeclaredListByteForByte) {
    // The guard's own must not come through.
    setenv("LD_LIBRARY_PATH", "/nowhere", 1);
    setenv("BASH_ENV", "/nowhere", 1);
    setenv("POSTERN_SECRET", "x", 1);
    policy::Action env = action("/usr/bin/env", anna);
    env.description.name = "web.restart";
    env.environment = {{"EMPTY", ""}, {"PATH", "/usr/bin:/bin"}, {"ZEBRA", "a=b \n%n $(id)"}};
    const StoryPtr story = start(env, command({"/usr/bin/env", "-0"}), {64005, 64006, 1});
    ASSERT_TRUE(loop_until([&] { return story->over(); }));
    ASSERT_THAT(story, Exited(0));
    std::string expected;
    for (const std::string& variable :
         {std::string("EMPTY="), std::string("PATH=/usr/bin:/bin"),
          std::string("POSTERN_ACTION=web.restart"), std::string("POSTERN_GID=64006"),
          "POSTERN_JOB=" + story->job.text(), std::string("POSTERN_UID=64005"),
          std::string("ZEBRA=a=b \n%n $(id)")}) {
        expected += variable + '\0';
    }
    EXPECT_EQ(read_all(story->out), expected);
    for (const char* name : {"LD_LIBRARY_PATH", "BASH_ENV", "POSTERN_SECRET"}) unsetenv(name);
}

TEST_F(JobsRun, TheNameOfTheCallerIsThereIfItIsKnown) {
    policy::Action env = action("/usr/bin/env", anna);
    env.environment = {{"PATH", "/usr/bin"}, {"SUDO_COMMAND", "forged"}, {"SUDO_UID", "0"}};
    env.sudo_compatible = true;
    Requester requester{64005, 64006, 1};
    for (const std::string name : {"", "alice"}) {
        requester.user = name;
        const StoryPtr story = start(env, command({"/usr/bin/env"}), requester);
        ASSERT_TRUE(loop_until([&] { return story->over(); }));
        const std::string user = name.empty() ? "" : "_USER=alice\n";
        const auto line = [&](const char* prefix) { return name.empty() ? "" : prefix + user; };
        EXPECT_EQ(read_all(story->out),
                  "PATH=/usr/bin\nPOSTERN_ACTION=" + env.description.name +
                      "\nPOSTERN_GID=64006\nPOSTERN_JOB=" + story->job.text() +
                      "\nPOSTERN_UID=64005\n" + line("POSTERN") +
                      "SUDO_GID=64006\nSUDO_UID=64005\n" + line("SUDO"));
        EXPECT_EQ(record_of(story).requester.user, name);
    }
}

TEST_F(JobsRun, AFileCantDeclareOurOwnVariables) {
    policy::Action env = action("/usr/bin/env");
    env.environment = {{"POSTERN_JOB", "forged"}};
    const StoryPtr story = run(env, command({"/usr/bin/env"}));
    EXPECT_THAT(read_all(story->out), HasSubstr("POSTERN_JOB=" + story->job.text() + "\n"));
    EXPECT_THAT(read_all(story->out), Not(HasSubstr("forged")));
}

// ls itself opens the folder that it lists, as 3.
constexpr const char* list_descriptors = "/proc/self/fd";

TEST_F(JobsRun, AProgramHasExactlyDescriptors012) {
    // Without close-on-exec: whatever somebody in the guard forgot.
    const UniqueFd forgotten(open("/dev/null", O_RDONLY));
    const StoryPtr story = run(action("/bin/ls", anna), command({"/bin/ls", list_descriptors}));
    ASSERT_THAT(story, Exited(0));
    EXPECT_EQ(read_all(story->out), "0\n1\n2\n3\n");
}

TEST_F(JobsRun, AScriptHasExactlyDescriptors012) {
    const std::string script = folder_ / "script";
    // 10 is the shell's own, of the script.
    write_path(script, "#!/bin/sh\nls /proc/$$/fd\n", 0755);
    const StoryPtr story = run(action(script, anna), command({script}));
    ASSERT_THAT(story, Exited(0));
    EXPECT_EQ(read_all(story->out), "0\n1\n10\n2\n");
}

TEST_F(JobsRun, ExactlyDescriptors012EvenIfTheGuardWasStartedWithoutThem) {
    manager_.reset();
    const std::string result = folder_ / "result";
    ASSERT_TRUE(in_child([&] {
        for (int fd = 0; fd <= 2; ++fd) close(fd);
        create();
        const StoryPtr story = run(action("/bin/ls", anna), command({"/bin/ls", list_descriptors}));
        write_path(result, read_all(story->out) + read_all(story->err), 0600);
        manager_.reset();
    }));
    EXPECT_EQ(read_path(result), "0\n1\n2\n3\n");
}

TEST_F(JobsRun, StdinIsDevNullAndOutputWaits) {
    const StoryPtr story = run_shell("readlink /proc/self/fd/0; grep flags: /proc/self/fdinfo/1");
    const auto lines = lines_of(read_all(story->out));
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_EQ(lines[0], "/dev/null");
    const long flags = std::strtol(lines[1].substr(7).c_str(), nullptr, 8);
    EXPECT_EQ(flags & (O_NONBLOCK | O_ACCMODE), O_WRONLY);
}

TEST_F(JobsRun, StdinTextArrivesWholeCantBeChangedAndIsNowhereElse) {
    policy::Command cat = shell(
        "cat; cat /proc/$$/cmdline /proc/$$/environ | tr '\\0' '\\n' >&2; echo x >/dev/stdin");
    cat.stdin_text = std::string("pass\0word", 9) + std::string(200'000, 'x') + "end";
    cat.shown = {{"password", "(secret)"}};
    const StoryPtr story = run(shell_action(anna), cat);
    EXPECT_EQ(read_all(story->out), *cat.stdin_text);
    EXPECT_THAT(read_all(story->err), HasSubstr("POSTERN_JOB="));
    EXPECT_THAT(read_all(story->err), Not(HasSubstr("word")));
    EXPECT_THAT(read_all(story->err), HasSubstr("Operation not permitted"));
    const std::string record = read_path(job_folder(story) + "/record.json");
    EXPECT_THAT(record, HasSubstr("(secret)"));
    EXPECT_THAT(record, Not(HasSubstr("word\\u0000")));
}

TEST_F(JobsRun, ArgumentsAreLiteral) {
    const std::vector<std::string> hostile = {
        "${PATH}", "%n", "%H", "$(id)", ";", "`id`", "a b", "", "\\", "-x", "*", "x\ny", "ends\\"};
    std::vector<std::string> argv = {"/usr/bin/printf", "[%s]"};
    argv.insert(argv.end(), hostile.begin(), hostile.end());
    const StoryPtr story = run(action("/usr/bin/printf", anna), command(argv));
    std::string expected;
    for (const std::string& argument : hostile) expected += "[" + argument + "]";
    EXPECT_EQ(read_all(story->out), expected);
}

TEST_F(JobsRun, ArgumentsOfAScriptAreLiteralToo) {
    const std::string script = folder_ / "script";
    write_path(script, "#!/bin/sh\nprintf '[%s]' \"$0\" \"$@\"\n", 0755);
    const StoryPtr story =
        run(action(script, anna), command({script, "${PATH}", "%n", "$(id)", ";", "\\"}));
    EXPECT_EQ(read_all(story->out), "[" + script + "][${PATH}][%n][$(id)][;][\\]");
}

TEST_F(JobsRun, ExitCodesAndSignalsAreTold) {
    for (const int code : {0, 1, 42, 126, 255}) {
        EXPECT_THAT(run_shell("exit " + std::to_string(code), anna), Exited(code));
    }
    EXPECT_THAT(run_shell("kill -SEGV $$", anna), EndedBySignal(Outcome::signaled, SIGSEGV));
    EXPECT_THAT(run_shell("kill -KILL $$", anna), EndedBySignal(Outcome::signaled, SIGKILL));
    EXPECT_THAT(run_shell("kill -TERM $$"), EndedBySignal(Outcome::signaled, SIGTERM));
}

TEST_F(JobsRun, TimesAndUseAreTold) {
    const Time before = wall_clock();
    const StoryPtr story = run_shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    ASSERT_THAT(story, Exited(0));
    EXPECT_GE(story->result->started, before);
    EXPECT_GE(story->result->ended, story->result->started);
    EXPECT_LE(story->result->ended, wall_clock());
    EXPECT_GT(story->result->cpu, std::chrono::milliseconds(1));
    EXPECT_GT(story->result->max_resident_kib, 100U);
    EXPECT_EQ(record_of(story).result, *story->result);
}

TEST_F(JobsRun, ThePresentSoftLimitOfOpenFilesIsNotInheritedIfAnotherIsSet) {
    manager_.reset();
    settings_.job_open_files = 1024;
    create();
    EXPECT_EQ(read_all(run_shell("ulimit -Sn", anna)->out), "1024\n");
}

TEST_F(JobsRun, AProgramThatIsNotSafeIsNotStarted) {
    const std::string program = folder_ / "program";
    write_path(program, "#!/bin/sh\n", 0777);
    const StoryPtr story = run(action(program), command({program}));
    ASSERT_TRUE(story->failure);
    EXPECT_EQ(story->failure->message,
              "the program could not be started: others than its owner could change it");
    EXPECT_THAT(story->failure->detail, HasSubstr(program));
    const Record record = record_of(story);
    EXPECT_EQ(record.state, RecordState::failed);
    EXPECT_EQ(record.message, story->failure->detail);
    EXPECT_EQ(manager_->active(), 0U);
}

TEST_F(JobsRun, AnInterpreterThatIsNotSafeStartsNothing) {
    const std::string script = folder_ / "script";
    const std::string interpreter = folder_ / "interpreter";
    ASSERT_EQ(std::system(("cp /bin/true " + interpreter).c_str()), 0);
    ASSERT_EQ(chmod(interpreter.c_str(), 0755), 0);
    write_path(script, "#!/usr/bin/env interpreter\n", 0755);
    policy::Action by_env = action(script);
    by_env.environment = {{"PATH", folder_.path()}};
    EXPECT_THAT(run(by_env, command({script})), Exited(0));
    ASSERT_EQ(chmod(interpreter.c_str(), 0775), 0);
    const StoryPtr story = run(by_env, command({script}));
    ASSERT_TRUE(story->failure);
    EXPECT_EQ(story->failure->message,
              "the program could not be started: its interpreter could be changed by others");
    EXPECT_THAT(story->failure->detail,
                HasSubstr(script +
                          " is started by /usr/bin/env, which looks for \"interpreter\" in "
                          "PATH: " +
                          interpreter + " can be written by users other than its owner"));
}

TEST_F(JobsRun, AProgramThatCantBeExecutedIsAFailedStart) {
    const std::string garbage = folder_ / "garbage";
    write_path(garbage, "\177ELF and nothing more", 0755);
    EXPECT_THAT(run(action(garbage), command({garbage}))->failure->message,
                HasSubstr("the program could not be started: it is neither a script with #! in its "
                          "first line nor a program for this machine"));
    const std::string plain = folder_ / "plain";
    write_path(plain, "#!/bin/sh\n", 0644);
    EXPECT_TRUE(run(action(plain, anna), command({plain}))->failure);
    const std::string orphan = folder_ / "orphan";
    write_path(orphan, "#!/nonexistent/interpreter\n", 0755);
    EXPECT_THAT(run(action(orphan, anna), command({orphan}))->failure->detail,
                HasSubstr("orphan is started by /nonexistent/interpreter, as its first line says: "
                          "/nonexistent does not exist"));
    EXPECT_THAT(run(shell_action(), shell(std::string(300'000, 'x')))->failure->message,
                HasSubstr("Argument list too long while executing the program"));
    EXPECT_TRUE(run(shell_action(), shell(std::string("a\0b", 3)))->failure);
}

TEST_F(JobsRun, AProgramThatOnlyRootMayReadIsStillExecuted) {
    const std::string program = folder_ / "hidden";
    ASSERT_EQ(std::system(("cp /bin/true " + program).c_str()), 0);
    ASSERT_EQ(chmod(program.c_str(), 0711), 0);
    EXPECT_THAT(run(action(program, anna), command({program})), Exited(0));
}

TEST_F(JobsRun, WithoutAdmissionNothingIsStartedAndNothingStays) {
    const std::string mark = open_folder_ + "/mark";
    bool record_was_there = false;
    const auto result =
        manager_->start(shell_action(), shell("touch " + mark), {}, {}, {}, [&](const JobId& job) {
            const auto record =
                from_json(read_path(folder_ / "state/jobs/" + job.text() + "/record.json"));
            record_was_there = record && record->state == RecordState::starting;
            return false;
        });
    EXPECT_FALSE(result);
    EXPECT_TRUE(record_was_there);
    EXPECT_EQ(manager_->active(), 0U);
    EXPECT_EQ(read_path(mark), "");
    EXPECT_NE(access(mark.c_str(), F_OK), 0);
    // By a thread.
    EXPECT_TRUE(loop_until([&] { return std::filesystem::is_empty(folder_ / "state/jobs"); }));
}

TEST_F(JobsRun, TheRecordIsThereBeforeTheProgramRuns) {
    const StoryPtr story = run_shell("cat " + folder_ / "state/jobs/$POSTERN_JOB/record.json");
    const auto seen = from_json(read_all(story->out));
    ASSERT_TRUE(seen) << read_all(story->out);
    EXPECT_EQ(seen->state, RecordState::running);
    EXPECT_EQ(seen->action, "test.action");
    EXPECT_EQ(seen->requester.uid, anna);
    EXPECT_EQ(seen->requester.pid, 4711);
    EXPECT_EQ(seen->boot, boot_id());
    EXPECT_GT(seen->pid, 1);
    EXPECT_GT(seen->pid_start, 0U);
    EXPECT_EQ(record_of(story).state, RecordState::ended);
}

TEST_F(JobsRun, AnIgnoredSigchldOfOurParentDoesNotLoseTheExitCode) {
    manager_.reset();
    EXPECT_TRUE(in_child([&] {
        signal(SIGCHLD, SIG_IGN);
        create();
        EXPECT_THAT(run_shell("exit 7"), Exited(7));
        manager_.reset();
    }));
}

TEST_F(JobsRun, DescriptorsAreAllGivenBack) {
    manager_.reset();
    settings_.launchers_waiting = 0;  // each is two; more or fewer of them wait
    create();
    run_shell("true");
    // But those pipes that are in stock.
    const auto count = [] { return std::system("exit $(ls -l /proc/$PPID/fd | grep -vc pipe:)"); };
    const int before = count();
    for (int i = 0; i < 5; ++i) run_shell("echo x", anna);
    run(action("/nonexistent"), command({"/nonexistent"}));
    EXPECT_EQ(count(), before);
}

// Whether the look that a call shares with others was before or after.
TEST_F(JobsRun, AStateDirectoryThatIsRemovedIsMadeAgainForTheNextStart) {
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(manager_->state_problem(), "");
        std::filesystem::remove_all(settings_.state_folder);
        EXPECT_THAT(run_shell("exit 3"), Exited(3));
    }
}

}  // namespace
}  // namespace postern::jobs
