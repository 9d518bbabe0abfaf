// How a job ended, from its unit's last state.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>

#include "daemon/jobs/unit/unit_result.h"

namespace postern::jobs {
namespace {

UnitState ended(const std::string& active, const std::string& result, std::int32_t code,
                std::int32_t status, bool was_active = true) {
    UnitState state;
    state.load = "loaded";
    state.active = active;
    state.sub = active == "active" ? "exited" : "failed";
    state.result = result;
    state.main_code = code;
    state.main_status = status;
    state.active_since = std::chrono::microseconds(was_active ? 1 : 0);
    state.usage.cpu = std::chrono::milliseconds(2);
    state.usage.memory_peak_bytes = 4096;
    return state;
}

JobResult made(Outcome outcome, bool by_signal, std::int32_t status) {
    return {outcome, by_signal, status, {}, {}, std::chrono::milliseconds(2), 4};
}

TEST(UnitResult, Results) {
    EXPECT_EQ(result_of(ended("active", "success", CLD_EXITED, 0), {}),
              made(Outcome::exited, false, 0));
    EXPECT_EQ(result_of(ended("failed", "exit-code", CLD_EXITED, 7), {}),
              made(Outcome::exited, false, 7));
    EXPECT_EQ(result_of(ended("failed", "signal", CLD_KILLED, SIGSEGV), {}),
              made(Outcome::signaled, true, SIGSEGV));
    EXPECT_EQ(result_of(ended("failed", "core-dump", CLD_DUMPED, SIGABRT), {}),
              made(Outcome::signaled, true, SIGABRT));
    EXPECT_EQ(result_of(ended("failed", "timeout", CLD_KILLED, SIGTERM), {}),
              made(Outcome::timeout, true, SIGTERM));
    EXPECT_EQ(result_of(ended("failed", "timeout", CLD_EXITED, 3), {}),
              made(Outcome::timeout, false, 0));
    EXPECT_EQ(result_of(ended("failed", "oom-kill", CLD_KILLED, SIGKILL), {}),
              made(Outcome::out_of_memory, true, SIGKILL));
    // Nobody has seen its end.
    EXPECT_EQ(result_of(ended("active", "success", 0, 0), {}), made(Outcome::lost, false, 0));
    EXPECT_EQ(result_of(ended("active", "success", 0, 0), Outcome::timeout),
              made(Outcome::timeout, false, 0));
    // Stopped, it counts as a success for systemd.
    EXPECT_EQ(result_of(ended("active", "success", CLD_KILLED, SIGTERM), {}),
              made(Outcome::signaled, true, SIGTERM));
    EXPECT_EQ(result_of(ended("active", "success", CLD_KILLED, SIGTERM), Outcome::disconnected),
              made(Outcome::disconnected, true, SIGTERM));
}

TEST(UnitResult, WhatSystemdDoesNotKnowIsZero) {
    UnitState state = ended("active", "success", CLD_EXITED, 0);
    state.usage.cpu.reset();
    state.usage.memory_peak_bytes.reset();
    EXPECT_EQ(result_of(state, {}), (JobResult{Outcome::exited, false, 0, {}, {}, {}, 0}));
}

TEST(UnitResult, ExecutedOrNot) {
    EXPECT_TRUE(was_executed(ended("failed", "exit-code", CLD_EXITED, 203)));
    EXPECT_FALSE(was_executed(ended("failed", "exit-code", CLD_EXITED, 203, false)));
    EXPECT_FALSE(was_executed(ended("failed", "exit-code", CLD_EXITED, 245, false)));
    EXPECT_TRUE(was_executed(ended("failed", "exit-code", CLD_EXITED, 199, false)));
    EXPECT_TRUE(was_executed(ended("failed", "exit-code", CLD_EXITED, 246, false)));
    EXPECT_TRUE(was_executed(ended("failed", "signal", CLD_KILLED, 9, false)));
    EXPECT_FALSE(was_executed(ended("failed", "resources", 0, 0, false)));
    UnitState told = ended("failed", "exit-code", CLD_EXITED, 203, false);
    told.executed = std::chrono::microseconds(1);  // systemd 256 and later: about to be
    EXPECT_FALSE(was_executed(told)) << "execve(2) failed";
    told.active_since = std::chrono::microseconds(1);
    EXPECT_TRUE(was_executed(told)) << "and it exited with that code by itself";
    UnitState other = ended("failed", "exit-code", CLD_EXITED, 217, false);
    other.executed = std::chrono::microseconds(1);
    EXPECT_TRUE(was_executed(other)) << "all that systemd sets up comes before";
    UnitState about_to = ended("activating", "success", 0, 0, false);
    about_to.executed = std::chrono::microseconds(1);
    EXPECT_FALSE(was_executed(about_to)) << "it may fail yet";
}

TEST(UnitResult, WhyItWasNotStarted) {
    const auto failure = [](std::int32_t status) {
        return start_failure(ended("failed", "exit-code", CLD_EXITED, status, false), "u.service");
    };
    EXPECT_EQ(failure(217).message, "the program could not be started: its user can't be set");
    EXPECT_EQ(failure(217).detail,
              "the program could not be started: its user can't be set (217/USER); journalctl -u "
              "u.service tells more");
    EXPECT_EQ(failure(240).detail,
              "the program could not be started: systemd could not set it up (240); journalctl -u "
              "u.service tells more");
    EXPECT_EQ(start_failure(ended("failed", "resources", 0, 0, false), "u.service").detail,
              "the program could not be started: systemd could not run its unit (resources); "
              "journalctl -u u.service tells more");
}

}  // namespace
}  // namespace postern::jobs
