// What is known of a unit, from what systemd 252 and 257 were heard to tell of it.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <string>

#include "daemon/jobs/unit/unit_view.h"

namespace postern::jobs {
namespace {

using Phase = UnitView::Phase;

UnitNews service(std::int32_t code, std::int32_t status, const std::string& result = "success",
                 pid_t main_pid = 0) {
    UnitNews news;
    news.result = result;
    news.main_code = code;
    news.main_status = status;
    news.main_pid = main_pid;
    news.main_started = time_of(5);
    return news;
}

UnitNews unit(const std::string& active, const std::string& sub, bool has_job = false,
              bool was_active = true) {
    UnitNews news;
    news.active = active;
    news.sub = sub;
    news.has_job = has_job;
    news.active_since = std::chrono::microseconds(was_active ? 7 : 0);
    return news;
}

UnitState looked_at(const std::string& active, const std::string& sub, std::int32_t code = 0) {
    UnitState state;
    state.load = "loaded";
    state.active = state.active_afterwards = active;
    state.sub = sub;
    state.result = "success";
    state.main_code = code;
    return state;
}

TEST(UnitView, AShortLife) {
    UnitView view;
    EXPECT_EQ(view.phase(), Phase::unseen);
    view.take(service(0, 0, "success", 57));
    view.take(unit("inactive", "dead", true, false));
    EXPECT_EQ(view.phase(), Phase::queued) << "it has a process, and that is not its end";
    EXPECT_EQ(view.main_pid(), 57);
    view.take(unit("activating", "start", true, false));
    EXPECT_EQ(view.phase(), Phase::starting);
    view.take(unit("active", "running", true));
    EXPECT_EQ(view.phase(), Phase::running);
    view.take(unit("active", "running"));
    view.take(service(CLD_EXITED, 0));
    view.take(unit("active", "exited"));
    EXPECT_EQ(view.phase(), Phase::over);
    EXPECT_EQ(view.main_pid(), 0);
    EXPECT_EQ(view.state().main_started, time_of(5));
    view.take(unit("inactive", "dead", true));
    EXPECT_EQ(view.phase(), Phase::gone);
}

TEST(UnitView, WhatItLeavesBehind) {
    UnitView view;
    view.take(service(CLD_EXITED, 3, "exit-code"));
    view.take(unit("active", "running"));
    EXPECT_EQ(view.phase(), Phase::left_behind);
    view.take(unit("deactivating", "stop-sigterm"));
    EXPECT_EQ(view.phase(), Phase::ending);
    view.take(unit("failed", "failed"));
    EXPECT_EQ(view.phase(), Phase::over);
}

TEST(UnitView, WhoResetsItChangesNothingOfItsEnd) {
    UnitView view;
    view.take(service(CLD_EXITED, 3, "exit-code"));
    view.take(unit("failed", "failed"));
    view.take(service(CLD_EXITED, 3, "success"));
    view.take(unit("inactive", "dead"));
    EXPECT_EQ(view.phase(), Phase::gone);
    EXPECT_EQ(view.state().result, "exit-code");
    view.take(service(0, 0, "success"));
    EXPECT_EQ(view.state().main_code, CLD_EXITED);
    EXPECT_EQ(view.state().main_status, 3);
}

TEST(UnitView, OneThatNeverRanIsGoneWhenItIsRemoved) {
    UnitView view;
    view.take(unit("inactive", "dead", true, false));
    view.take(unit("inactive", "dead", false, false));
    EXPECT_EQ(view.phase(), Phase::queued) << "it may be looked at between two jobs";
    view.removed();
    EXPECT_EQ(view.phase(), Phase::gone);
}

TEST(UnitView, ALookAddsToWhatIsKnown) {
    UnitView view;
    view.take(service(CLD_KILLED, SIGTERM, "timeout"));
    UnitState looked = looked_at("active", "exited");
    looked.usage.cpu = std::chrono::milliseconds(5);
    view.take(looked);
    EXPECT_EQ(view.phase(), Phase::over);
    EXPECT_EQ(view.state().main_code, CLD_KILLED);
    EXPECT_EQ(view.state().main_status, SIGTERM);
    EXPECT_EQ(view.state().result, "timeout");
    view.take(UnitUsage{std::nullopt, 4096});
    EXPECT_EQ(view.state().usage.cpu, std::chrono::milliseconds(5));
    EXPECT_EQ(view.state().usage.memory_peak_bytes, 4096U);
}

TEST(UnitView, ALookMayFindThatItIsGone) {
    UnitView view;
    UnitState looked = looked_at("active", "running", CLD_EXITED);
    looked.active_afterwards = "inactive";
    view.take(looked);
    EXPECT_EQ(view.phase(), Phase::gone);
    view = {};
    looked = looked_at("inactive", "dead");
    view.take(looked);
    EXPECT_EQ(view.phase(), Phase::queued);
    looked.load = "not-found";
    view.take(looked);
    EXPECT_EQ(view.phase(), Phase::gone);
}

}  // namespace
}  // namespace postern::jobs
