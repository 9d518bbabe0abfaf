// The keeper's walls: its list of system calls, and what it is seen from outside.
#include "daemon/output/keeper/system_calls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <map>
#include <string>
#include <string_view>

#include "tests/sandbox_probe/attempts.h"
#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/output/keeper/running_keeper.h"
#include "tests/unit/file_text.h"

namespace postern::output {
namespace {

#ifndef POSTERN_SANITIZED  // a sanitizer needs a wider list

// How a process ends that tries this under the list: its wait status.
int end_of_attempt(void (*attempt)()) {
    return end_of(fork_child([attempt] {
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !limit_system_calls()) return 1;
        attempt();
        ::syscall(SYS_exit_group, 9);
        return 2;
    }));
}

bool is_of_its_work(std::string_view attempt) {
    constexpr std::array<std::string_view, 4> work = {"sendmsg", "accept4", "ftruncate",
                                                      "futex_wait"};
    return std::ranges::find(work, attempt) != work.end();
}

TEST(KeeperSystemCalls, WhatIsNotOnTheListEndsTheProcess) {
    for (const auto& attempt : postern::test::attempts()) {
        const int status = end_of_attempt(attempt.make);
        if (is_of_its_work(attempt.name)) {
            EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 9) << attempt.name;
            continue;
        }
        ASSERT_TRUE(WIFSIGNALED(status)) << attempt.name << ": exit " << WEXITSTATUS(status);
        // Where the kernel has no i386 at all, the processor refuses before the list is asked.
        const bool no_i386 = attempt.name == "i386" && WTERMSIG(status) == SIGSEGV;
        EXPECT_TRUE(WTERMSIG(status) == SIGSYS || no_i386) << attempt.name;
    }
}

TEST(KeeperSystemCalls, NeitherReadNorWriteNorAnythingElseOfWhatItDoesInPart) {
    constexpr auto attempts = std::to_array<postern::test::Attempt>({
        {"read", [] { ::syscall(SYS_read, 0, nullptr, 0); }},
        {"pread64", [] { ::syscall(SYS_pread64, 0, nullptr, 0, 0); }},
        {"readv", [] { ::syscall(SYS_readv, 0, nullptr, 0); }},
        {"writev", [] { ::syscall(SYS_writev, 1, nullptr, 0); }},
        {"vmsplice", [] { ::syscall(SYS_vmsplice, 0, nullptr, 0, 0); }},
        {"tee", [] { ::syscall(SYS_tee, 0, 1, 1, 0); }},
        {"sendfile", [] { ::syscall(SYS_sendfile, 1, 0, nullptr, 1); }},
        {"copy_file_range", [] { ::syscall(SYS_copy_file_range, 0, nullptr, 1, nullptr, 1, 0); }},
        {"mmap of a file, executable",
         [] { ::syscall(SYS_mmap, nullptr, 4096, PROT_EXEC, MAP_PRIVATE, 0, 0); }},
        {"TIOCSTI", [] { ::syscall(SYS_ioctl, 0, TIOCSTI, "x"); }},
        {"fstatat", [] { ::syscall(SYS_newfstatat, AT_FDCWD, "/", nullptr, 0); }},
        {"F_GETPIPE_SZ", [] { ::syscall(SYS_fcntl, 0, F_GETPIPE_SZ); }},
        {"F_SETFL", [] { ::syscall(SYS_fcntl, 0, F_SETFL, 0); }},
        {"F_SETPIPE_SZ", [] { ::syscall(SYS_fcntl, 0, F_SETPIPE_SZ, 1 << 20); }},
        {"F_SETOWN", [] { ::syscall(SYS_fcntl, 0, F_SETOWN, 1); }},
        {"F_DUPFD", [] { ::syscall(SYS_fcntl, 0, F_DUPFD, 0); }},
        {"SO_PEERPIDFD", [] { ::syscall(SYS_getsockopt, 0, SOL_SOCKET, 77, nullptr, nullptr); }},
        {"setsockopt", [] { ::syscall(SYS_setsockopt, 0, SOL_SOCKET, SO_SNDBUF, nullptr, 0); }},
        {"fchown", [] { ::syscall(SYS_fchown, 0, 0, 0); }},
        {"dup2", [] { ::syscall(SYS_dup3, 0, 1, 0); }},
    });
    for (const auto& attempt : attempts) {
        const int status = end_of_attempt(attempt.make);
        EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << attempt.name;
    }
}

#endif

std::map<std::string, std::string> status_of(pid_t pid) {
    std::map<std::string, std::string> fields;
    for (const std::string& line :
         lines_of(read_path("/proc/" + std::to_string(pid) + "/status"))) {
        const auto colon = line.find(':');
        const auto begin = line.find_first_not_of(" \t", colon + 1);
        const auto end = line.find_last_not_of(" \t");
        fields[line.substr(0, colon)] =
            begin == std::string::npos ? "" : line.substr(begin, end - begin + 1);
    }
    return fields;
}

TEST(KeeperSystemCalls, TheProcessHasNothing) {
    test::KeeperChild keeper;
    keeper.guard.greet();
    const auto status = status_of(keeper.process->pid());
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
        EXPECT_EQ(status.at(set), "0000000000000000") << set;
    }
    EXPECT_EQ(status.at("NoNewPrivs"), "1");
    EXPECT_EQ(status.at("Seccomp"), "2");
    EXPECT_EQ(status.at("Name"), "postern-output");
    EXPECT_EQ(read_path("/proc/" + std::to_string(keeper.process->pid()) + "/environ"), "");
    if (::geteuid() != 0) return;
    EXPECT_EQ(status.at("CapBnd"), "0000000000000000");
    EXPECT_EQ(status.at("Groups"), "");
    EXPECT_EQ(status.at("Uid"), "64001\t64001\t64001\t64001");
    EXPECT_EQ(status.at("Gid"), "64011\t64011\t64011\t64011");
}

}  // namespace
}  // namespace postern::output
