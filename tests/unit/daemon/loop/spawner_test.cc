// What is started has the descriptors that it is given, and no others.
#include "daemon/loop/spawner.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

#include "base/unique_fd.h"

// ThreadSanitizer takes a descriptor for one and the same in all threads that have its number,
// which in a thread with a table of its own it is not.
#ifndef __SANITIZE_THREAD__

namespace postern {
namespace {

class SpawnerTest : public testing::Test {
  protected:
    // What the script says on its standard output, and how it ended.
    std::string run(const std::string& script, std::vector<std::pair<int, int>> more = {}) {
        std::array<int, 2> pipe{};
        EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
        const UniqueFd reader(pipe[0]);
        UniqueFd writer(pipe[1]);
        const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
        Program program{shell_.get(), {"sh", "-c", script}, {{null.get(), 0}, {writer.get(), 1}}};
        program.descriptors.insert(program.descriptors.end(), more.begin(), more.end());
        const auto pid = spawner_->spawn(program);
        if (!pid) return pid.error().message;
        writer.reset();
        std::string text;
        std::array<char, 4096> buffer;
        for (ssize_t count = 0; (count = ::read(reader.get(), buffer.data(), buffer.size())) > 0;) {
            text.append(buffer.data(), static_cast<std::size_t>(count));
        }
        int status = 0;
        EXPECT_EQ(::waitpid(*pid, &status, 0), *pid);
        if (WIFSIGNALED(status)) return text + "ended by " + std::to_string(WTERMSIG(status));
        return text + "ended with " + std::to_string(WEXITSTATUS(status));
    }

    const UniqueFd shell_{::open("/bin/sh", O_PATH | O_CLOEXEC)};
    std::unique_ptr<Spawner> spawner_ = std::move(Spawner::create()).value();
};

TEST_F(SpawnerTest, GivesWhatIsNamedAndNothingElse) {
    // Not close-on-exec: by a copy of the guard's they would be in the child.
    const UniqueFd mine(::dup(0));
    const UniqueFd other(::fcntl(0, F_DUPFD, 200));
    // The lowest free one is the folder, which the shell has open while it looks.
    EXPECT_EQ(run("cd /proc/$$/fd; echo *"), "0 1 2 3\nended with 0");
    EXPECT_EQ(run("cd /proc/$$/fd; echo *", {{mine.get(), 3}, {other.get(), 8}}),
              "0 1 2 3 4 8\nended with 0");
    EXPECT_EQ(run("exit 7"), "ended with 7");
}

// The end of what it was given says that it has executed something, or has ended. So whoever knows
// that it was started must not find that somebody else has it still.
TEST_F(SpawnerTest, NobodyElseHasWhatItWasGiven) {
    for (int i = 0; i < 300; ++i) {
        std::array<int, 2> pipe{};
        ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK), 0);
        const UniqueFd reader(pipe[0]);
        UniqueFd writer(pipe[1]);
        const auto pid = spawner_->spawn({shell_.get(), {"sh", "-c", ":"}, {{writer.get(), 3}}});
        ASSERT_TRUE(pid) << pid.error().message;
        writer.reset();
        ASSERT_EQ(::waitpid(*pid, nullptr, 0), *pid);
        char none = 0;
        ASSERT_EQ(::read(reader.get(), &none, 1), 0) << "after " << i;
    }
}

// It may be the number of another one that is given.
TEST_F(SpawnerTest, NumbersThatCross) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    const UniqueFd one(pair[0]);
    const UniqueFd two(pair[1]);
    ASSERT_EQ(::send(one.get(), "two\n", 4, 0), 4);
    ASSERT_EQ(::send(two.get(), "one\n", 4, 0), 4);
    const std::string script = "read line <&" + std::to_string(two.get()) +
                               "; echo $line; read line <&" + std::to_string(one.get()) +
                               "; echo $line";
    EXPECT_EQ(run(script, {{one.get(), two.get()}, {two.get(), one.get()}}),
              "one\ntwo\nended with 0");
}

TEST_F(SpawnerTest, HasNoEnvironment) {
    EXPECT_EQ(run("tr '\\0' ' ' < /proc/$$/environ; set -- $(/usr/bin/env); echo $#").substr(0, 1),
              "1");  // PWD, which the shell makes
}

// What the guard ignores (systemd starts it with SIGPIPE ignored), and what it handles.
TEST_F(SpawnerTest, SignalsAreByDefault) {
    const auto before = ::signal(SIGPIPE, SIG_IGN);
    const auto usr2_before = ::signal(SIGUSR2, [](int) {});
    spawner_ = std::move(Spawner::create()).value();
    const std::string ended = run("kill -PIPE $$; exit 0", {}) + run("kill -USR2 $$; exit 0", {});
    ::signal(SIGPIPE, before);
    ::signal(SIGUSR2, usr2_before);
    EXPECT_EQ(ended, "ended by 13ended by 12");
}

TEST_F(SpawnerTest, SaysWhyItCannot) {
    const UniqueFd no_program(::open("/etc/passwd", O_PATH | O_CLOEXEC));
    EXPECT_EQ(spawner_->spawn({no_program.get(), {"nothing"}, {}}).error().message,
              "nothing: Permission denied");
    EXPECT_EQ(spawner_->spawn({-1, {"nothing"}, {}}).error().message,
              "nothing: Bad file descriptor");
    // And goes on.
    EXPECT_EQ(run("exit 3"), "ended with 3");
}

TEST_F(SpawnerTest, LeavesNothingOpen) {
    const auto lowest = [] { return UniqueFd(::dup(0)).get(); };
    const int before = lowest();
    for (int i = 0; i < 50; ++i) EXPECT_EQ(run("exit 0"), "ended with 0");
    EXPECT_EQ(lowest(), before);
}

}  // namespace
}  // namespace postern

#endif
