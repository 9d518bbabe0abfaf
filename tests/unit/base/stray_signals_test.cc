// Signals that nobody meant.
#include "base/stray_signals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

namespace postern {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Not;

TEST(StraySignals, AreAllButThoseOfFaultsAndThoseThatAreWanted) {
    const auto strays = stray_signals({SIGTERM});
    for (const int number :
         {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGRTMIN, SIGRTMAX}) {
        EXPECT_THAT(strays, Contains(number));
    }
    for (const int number : {SIGTERM, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS,
                             SIGTRAP, SIGABRT, SIGCHLD}) {
        EXPECT_THAT(strays, Not(Contains(number)));
    }
}

// All that there are, in a process of its own: none but those that are not strays ends it.
TEST(StraySignals, EndNobodyWhoIgnoresThem) {
    const auto survive = [] {
        ignore_stray_signals({});
        ignore_library_signals();
        for (const int number : stray_signals({})) ::raise(number);
        for (int number = 32; number < SIGRTMIN; ++number) {
            ::syscall(SYS_tgkill, ::getpid(), ::gettid(), number);
        }
        ::_exit(7);
    };
    EXPECT_EXIT(survive(), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace postern
