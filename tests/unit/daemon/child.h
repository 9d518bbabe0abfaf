// Processes that a test forks off itself.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

namespace postern {

// It does this and exits with what that returned.
inline pid_t fork_child(const std::function<int()>& what) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(what());
    EXPECT_GT(child, 0);
    return child;
}

// One that does nothing until it is killed.
inline pid_t fork_idle_child() {
    return fork_child([]() -> int {
        while (true) ::pause();
    });
}

// Waits for its end; its wait status.
inline int end_of(pid_t child) {
    int status = -1;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

}  // namespace postern
