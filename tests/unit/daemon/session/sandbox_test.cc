// The session's walls, seen from inside (a probe that tries to get out) and from outside (/proc).
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"
#include "tests/sandbox_probe/attempts.h"
#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/readable.h"
#include "tests/unit/daemon/session/harness.h"
#include "tests/unit/file_text.h"
#include "tests/unit/sockets.h"

namespace postern::session {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

// Of nobody else on a test machine.
constexpr uid_t session_uid = 64001;
constexpr uid_t caller_uid = 64002;

// Runs a function in a child; its wait status.
int in_child(const std::function<int()>& run) {
    return end_of(fork_child(run));
}

int probe(const char* uid, const char* gid, std::string_view attempt, uid_t run_as = 0) {
    const std::string name(attempt);
    // Opened as root: the build may be below a folder that nobody else may enter.
    const UniqueFd program(::open(POSTERN_SANDBOX_PROBE, O_PATH | O_CLOEXEC));
    return in_child([&] {
        if (run_as != 0 &&
            (::setgroups(0, nullptr) != 0 || ::setresgid(run_as, run_as, run_as) != 0 ||
             ::setresuid(run_as, run_as, run_as) != 0)) {
            return 3;
        }
        char* const environment[] = {nullptr};
        const char* const arguments[] = {"sandbox_probe", uid, gid, name.c_str(), nullptr};
        ::fexecve(program.get(), const_cast<char* const*>(arguments), environment);
        return 4;
    });
}

// The exit code; minus the signal, where one ended the process.
int exit_code_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

class SessionSandbox : public testing::Test {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    }
};

#ifndef POSTERN_SANITIZED  // a sanitizer needs a wider list
// A session that tries open, socket, connect, execve, clone, kill, ... dies of its list.
TEST_F(SessionSandbox, EveryAttemptToGetOutEndsTheProcess) {
    ASSERT_EQ(probe("64001", "64011", "none"), 0) << "the sandbox itself can be entered";
    for (const auto& attempt : test::attempts()) {
        const int status = probe("64001", "64011", attempt.name);
        ASSERT_TRUE(WIFSIGNALED(status)) << attempt.name << ": exit " << WEXITSTATUS(status);
        // Where the kernel has no i386 at all, the processor refuses before the list is asked.
        const bool no_i386 = attempt.name == "i386" && WTERMSIG(status) == SIGSEGV;
        EXPECT_TRUE(WTERMSIG(status) == SIGSYS || no_i386)
            << attempt.name << ": " << WTERMSIG(status);
    }
}

TEST_F(SessionSandbox, InUserModeTheListIsTheSame) {
    ASSERT_EQ(probe("-", "-", "none", caller_uid), 0);
    for (const char* attempt : {"openat", "socket", "execve", "clone", "kill"}) {
        const int status = probe("-", "-", attempt, caller_uid);
        EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << attempt;
    }
}
#endif

TEST_F(SessionSandbox, RootIsNoUserForASession) {
    EXPECT_EQ(exit_code_of(probe("-", "-", "none")), 1);
    EXPECT_EQ(exit_code_of(probe("0", "64011", "none")), 1);
    EXPECT_EQ(exit_code_of(probe("64001", "0", "none")), 1);
    // Someone who may not drop to another user does not go on as himself.
    EXPECT_EQ(exit_code_of(probe("64001", "64011", "none", caller_uid)), 1);
}

// The real program, started as the guard starts it but from an untidy parent.
class RunningSession {
  public:
    RunningSession(std::vector<const char*> arguments, uid_t run_as = 0) {
        auto pair = channel::make_pair();
        EXPECT_TRUE(pair.has_value());
        channel_ = std::move(pair->first);
        const int channel_end = pair->second.get();
        pid_ = fork_child([&] {
            start(arguments, channel_end, run_as);
            return 99;
        });
    }
    ~RunningSession() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
    }
    RunningSession(const RunningSession&) = delete;
    RunningSession& operator=(const RunningSession&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] int channel() const { return channel_.get(); }
    void close_channel() { channel_.reset(); }

    // Its next message; nothing: none comes.
    std::optional<channel::Envelope<channel::ToGuard>> hear() {
        if (!readable_within(channel_.get())) return std::nullopt;
        const auto received = receiver_->receive(channel_.get());
        if (received.state != channel::Received::State::packet) return std::nullopt;
        auto message = channel::decode_to_guard(received.packet);
        if (!message) return std::nullopt;
        return *message;
    }
    bool wait_ready() {
        const auto message = hear();
        return message && std::holds_alternative<channel::Ready>(message->body);
    }
    int exit_code() { return exit_code_of(end_of(std::exchange(pid_, -1))); }

  private:
    static void start(std::vector<const char*> arguments, int channel_end, uid_t run_as) {
        const int program = ::open(POSTERN_SESSION, O_PATH | O_CLOEXEC);
        const int null = ::open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
        ::dup2(channel_end, channel::session_fd);
        // What a guard could forget: descriptors, groups, a directory, a mask, blocked signals.
        ::dup2(null, 77);
        ::dup2(null, 500);
        const gid_t groups[] = {0, 4, 27};
        ::umask(0);
        if (::setgroups(3, groups) != 0 || ::chdir("/tmp") != 0) ::_exit(98);
        sigset_t all;
        ::sigfillset(&all);
        ::sigprocmask(SIG_BLOCK, &all, nullptr);
        if (run_as != 0 && (::setresgid(run_as, run_as, run_as) != 0 ||
                            ::setresuid(run_as, run_as, run_as) != 0)) {
            ::_exit(97);
        }
        arguments.insert(arguments.begin(), "postern-session");
        arguments.push_back(nullptr);
        char* const environment[] = {nullptr};
        ::fexecve(program, const_cast<char* const*>(arguments.data()), environment);
    }

    pid_t pid_ = -1;
    UniqueFd channel_;
    std::unique_ptr<channel::Receiver> receiver_ =
        std::make_unique<channel::Receiver>(channel::Descriptors::refused);
};

std::string proc(pid_t pid, const char* what) {
    return "/proc/" + std::to_string(pid) + "/" + what;
}

std::map<std::string, std::string> status_of(pid_t pid) {
    std::map<std::string, std::string> fields;
    for (const std::string& line : lines_of(read_path(proc(pid, "status")))) {
        const auto colon = line.find(':');
        auto begin = line.find_first_not_of(" \t", colon + 1);
        auto end = line.find_last_not_of(" \t");
        fields[line.substr(0, colon)] =
            begin == std::string::npos ? "" : line.substr(begin, end - begin + 1);
    }
    return fields;
}

std::string link_of(const std::string& path) {
    std::string target(256, '\0');
    const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
    target.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    return target;
}

std::map<int, std::string> descriptors_of(pid_t pid) {
    std::map<int, std::string> found;
    const std::string folder = proc(pid, "fd");
    DIR* directory = ::opendir(folder.c_str());
    if (directory == nullptr) return found;
    while (const dirent* entry = ::readdir(directory)) {
        if (entry->d_name[0] == '.') continue;
        found[std::stoi(entry->d_name)] = link_of(folder + "/" + entry->d_name);
    }
    ::closedir(directory);
    return found;
}

void expect_clean(pid_t pid) {
    const auto status = status_of(pid);
    const std::string none = "0000000000000000";
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
        EXPECT_EQ(status.at(set), none) << set;
    }
    EXPECT_EQ(status.at("NoNewPrivs"), "1");
#ifndef POSTERN_SANITIZED
    EXPECT_EQ(status.at("Threads"), "1");
#endif
    EXPECT_EQ(status.at("Seccomp"), "2");
    EXPECT_EQ(status.at("Umask"), "0077");
    EXPECT_EQ(status.at("SigBlk"), none);
    EXPECT_EQ(status.at("Name"), "postern-session");
    // Its channel, and the loop's own.
    EXPECT_THAT(descriptors_of(pid),
                ElementsAre(Pair(0, "/dev/null"), Pair(1, "/dev/null"), Pair(2, "/dev/null"),
                            Pair(3, StartsWith("socket:")), Pair(4, "anon_inode:[eventpoll]")));
    EXPECT_EQ(link_of(proc(pid, "cwd")), "/");
    EXPECT_EQ(read_path(proc(pid, "environ")), "");
    const std::string limits = read_path(proc(pid, "limits"));
    EXPECT_NE(limits.find("Max core file size        0                    0  "), std::string::npos);
#ifndef POSTERN_SANITIZED
    EXPECT_NE(limits.find("Max file size             0                    0  "), std::string::npos);
#endif
    // Not dumpable: its /proc is root's.
    struct stat owner{};
    ASSERT_EQ(::stat(proc(pid, "environ").c_str(), &owner), 0);
    EXPECT_EQ(owner.st_uid, 0U);
    EXPECT_EQ(owner.st_gid, 0U);
}

// A session's environment, descriptors, cwd, umask, groups and capabilities are clean.
TEST_F(SessionSandbox, TheRealSessionIsCleanWhateverItInherits) {
    RunningSession session({"--uid", "64001", "--gid", "64011"});
    ASSERT_TRUE(session.wait_ready());
    expect_clean(session.pid());
    const auto status = status_of(session.pid());
    EXPECT_EQ(status.at("CapBnd"), "0000000000000000");
    EXPECT_EQ(status.at("Groups"), "");
    EXPECT_EQ(status.at("Uid"), "64001\t64001\t64001\t64001");
    EXPECT_EQ(status.at("Gid"), "64011\t64011\t64011\t64011");
    session.close_channel();
    EXPECT_EQ(session.exit_code(), 0);
}

TEST_F(SessionSandbox, InUserModeItKeepsItsIdsAndNothingElse) {
    RunningSession session({}, caller_uid);
    ASSERT_TRUE(session.wait_ready());
    expect_clean(session.pid());
    EXPECT_EQ(status_of(session.pid()).at("Uid"), "64002\t64002\t64002\t64002");
    session.close_channel();
    EXPECT_EQ(session.exit_code(), 0);
}

// ptrace, pidfd_getfd, kill, prlimit of a session by its caller, and by its own user: refused.
TEST_F(SessionSandbox, NobodyLaysHandsOnASession) {
    RunningSession session({"--uid", "64001", "--gid", "64011"});
    ASSERT_TRUE(session.wait_ready());
    const pid_t pid = session.pid();
    const auto attempt = [pid](uid_t uid, bool same_user) {
        return in_child([pid, uid, same_user] {
            if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
                ::setresuid(uid, uid, uid) != 0) {
                return 1;
            }
            if (::ptrace(PTRACE_SEIZE, pid, 0, 0) == 0 || errno != EPERM) return 2;
            const long pidfd = ::syscall(SYS_pidfd_open, pid, 0);
            if (pidfd < 0) return 3;
            if (::syscall(SYS_pidfd_getfd, pidfd, 3, 0) >= 0 || errno != EPERM) return 4;
            if (::open(proc(pid, "environ").c_str(), O_RDONLY) >= 0 || errno != EACCES) return 5;
            if (::open(proc(pid, "fd").c_str(), O_RDONLY) >= 0 || errno != EACCES) return 6;
            if (same_user) return 0;
            rlimit limit{};
            if (::prlimit(pid, RLIMIT_NOFILE, nullptr, &limit) == 0 || errno != EPERM) return 7;
            if (::kill(pid, SIGSTOP) == 0 || errno != EPERM) return 8;
            return 0;
        });
    };
    EXPECT_EQ(exit_code_of(attempt(caller_uid, false)), 0);
    EXPECT_EQ(exit_code_of(attempt(session_uid, true)), 0);
    // Neither stopped nor traced.
    EXPECT_THAT(status_of(pid).at("State"), AnyOf(StartsWith("S"), StartsWith("R")));
}

TEST_F(SessionSandbox, AWrongMessageOfTheGuardEndsItWithOne) {
    RunningSession session({"--uid", "64001", "--gid", "64011"});
    ASSERT_TRUE(session.wait_ready());
    ASSERT_EQ(channel::send_packet(session.channel(), channel::Bytes{1, 2, 3}, {}),
              channel::Sent::sent);
    EXPECT_EQ(session.exit_code(), 1);
}

TEST_F(SessionSandbox, WrongArgumentsAreAUsageError) {
    for (const std::vector<const char*>& arguments :
         std::vector<std::vector<const char*>>{{"--help"},
                                               {"--uid", "1", "--gid"},
                                               {"--uid", "x", "--gid", "1"},
                                               {"--uid", "1", "--gid", "4294967295"},
                                               {"--uid", "-1", "--gid", "1"},
                                               {"--gid", "1", "--uid", "1"},
                                               {"--uid", "1", "--gid", "1", "x"}}) {
        RunningSession session(arguments);
        EXPECT_EQ(session.exit_code(), 2) << arguments[0] << " " << arguments.size();
    }
    RunningSession root({"--uid", "0", "--gid", "0"});
    EXPECT_EQ(root.exit_code(), 1);
    RunningSession root_without({});
    EXPECT_EQ(root_without.exit_code(), 1);
}

// The list holds for all that a session does in its work: calls, a large reply, a job's output with
// a hole in it, an end.
TEST_F(SessionSandbox, TheListIsWideEnoughForTheWork) {
    RunningSession session({"--uid", "64001", "--gid", "64011"});
    ASSERT_TRUE(session.wait_ready());
    const auto say = [&](const test::Envelope& message, std::vector<int> descriptors = {}) {
        ASSERT_EQ(channel::send_packet(session.channel(), channel::encode(message), descriptors),
                  channel::Sent::sent);
    };
    say({{}, {}, channel::Welcome{"0.1", caller_uid, caller_uid, 0, 32768}});
    SocketPair pair;
    const UniqueFd client = std::move(pair.here);
    say({{}, {}, channel::Connections{{{channel::ConnectionId{1}, 2}}}}, {pair.there.get()});
    pair.there.reset();
    auto message = session.hear();
    ASSERT_TRUE(message && std::holds_alternative<channel::Accepted>(message->body));

    const std::string call =
        "{\"method\":\"org.postern.Actions.Run\",\"parameters\":{\"action\":\"x\",\"arguments\":"
        "{\"n\":1.5,\"t\":\"\\u00e9\"}},\"more\":true}\n";
    ASSERT_EQ(::send(client.get(), call.data(), call.size(), 0), static_cast<ssize_t>(call.size()));
    message = session.hear();
    ASSERT_TRUE(message && std::holds_alternative<RunCall>(message->body));
    const channel::RequestId request = message->request;

    test::TestFile file;
    file.append(std::string(std::size_t{4} << 20, '\xe9'));
    file.punch(0, 1 << 20);
    const UniqueFd reader = file.reader();
    say({channel::ConnectionId{1}, request, JobStarted{JobId("0123456789abcdef0123456789abcdef")}},
        {reader.get(), reader.get()});
    message = session.hear();
    ASSERT_TRUE(message && std::holds_alternative<AwaitOutput>(message->body));
    say({channel::ConnectionId{1}, request,
         JobEnded{{Outcome::exited, false, 0, time_of(1), time_of(2), std::chrono::microseconds(3),
                   4}}});

    std::string all;
    std::vector<char> buffer(std::size_t{1} << 20);
    while (!all.ends_with("\"startedAt\":1}}}\n")) {
        const ssize_t count = ::recv(client.get(), buffer.data(), buffer.size(), 0);
        ASSERT_GT(count, 0) << "the session is gone";
        all.append(buffer.data(), static_cast<std::size_t>(count));
    }
    EXPECT_NE(all.find("\"stdoutMissed\":1048576"), std::string::npos);
    ASSERT_EQ(::shutdown(client.get(), SHUT_WR), 0);
    message = session.hear();
    ASSERT_TRUE(message && std::holds_alternative<channel::Closed>(message->body));
    session.close_channel();
    EXPECT_EQ(session.exit_code(), 0);
}

}  // namespace
}  // namespace postern::session
