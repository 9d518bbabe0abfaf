// A job whose data goes straight: its ends of the pipes, as systemd gets them, and the client's.
#include <poll.h>

#include <csignal>

#include "tests/unit/daemon/jobs/unit/unit_fixture.h"

namespace postern::jobs {
namespace {

class Direct final : public Follower {
  public:
    explicit Direct(ClientEnds& ends) : ends_(ends) {}
    [[nodiscard]] Straight straight() const override { return {true, true}; }
    void take_ends(ClientEnds ends) override { ends_ = std::move(ends); }
    void started(const JobId& /*job*/, UniqueFd /*out*/, UniqueFd /*err*/) override {}
    void start_failed(const JobId& /*job*/, const StartFailure& /*failure*/) override {}
    void output(const JobId& /*job*/) override {}
    void ended(const JobId& /*job*/, const JobResult& /*result*/) override {}

  private:
    ClientEnds& ends_;
};

bool nobody_writes(const UniqueFd& read_end) {
    pollfd watched{.fd = read_end.get(), .events = POLLIN, .revents = 0};
    return poll(&watched, 1, 0) == 1 && (watched.revents & POLLHUP) != 0;
}

bool nobody_reads(const UniqueFd& write_end) {
    pollfd watched{.fd = write_end.get(), .events = POLLOUT, .revents = 0};
    return poll(&watched, 1, 0) == 1 && (watched.revents & POLLERR) != 0;
}

class DirectEnds : public UnitJobsTest {
  protected:
    JobId start_direct(ClientEnds& ends, bool merge_stderr = false) {
        begin(FakeSystemd::Version::v257);
        systemd_->set_life({"exit 0", CLD_EXITED, 0},
                           {Event::answer, Event::forked, Event::executed, Event::job_removed,
                            Event::exits, Event::settles});
        policy::Action action = shell_action(anna);
        action.merge_stderr = merge_stderr;
        Requester requester{anna, anna, 4711};
        requester.key = "deploy-1";
        const auto job = manager_->start(action, shell("exit 0"), requester, nullptr,
                                         std::make_unique<Direct>(ends),
                                         [](const JobId& /*job*/) { return true; });
        EXPECT_TRUE(job);
        return job ? *job : JobId();
    }
};

// Not before systemd has: who closes the last one may have to wait for a stranger.
TEST_F(DirectEnds, TheGuardLetsThemGoAfterSystemd) {
    ClientEnds ends;
    const JobId job = start_direct(ends);
    EXPECT_TRUE(manager_->find(job)->stdout_not_kept);
    EXPECT_FALSE(nobody_writes(ends.output));
    EXPECT_FALSE(nobody_reads(ends.input));
    ASSERT_TRUE(go_on([this] { return idle(); }, Pace::calm));
    EXPECT_FALSE(nobody_writes(ends.output));
    EXPECT_FALSE(nobody_reads(ends.input));
    ASSERT_TRUE(loop_until([&] { return nobody_writes(ends.output); }));
    EXPECT_TRUE(nobody_reads(ends.input));
    // On the disk too.
    EXPECT_TRUE(record_of(job).stdout_not_kept);
    expect_nothing_left();
}

// What goes straight is neither kept nor lost, whether standard error goes with it or has a pipe
// of its own that is kept.
TEST_F(DirectEnds, TheNextGuardMissesNothing) {
    for (const bool merge_stderr : {false, true}) {
        ClientEnds ends;
        const JobId job = start_direct(ends, merge_stderr);
        ASSERT_TRUE(
            go_on([&] { return manager_->find(job)->state == RecordState::running; }, Pace::calm));
        kill_guard(FakeSystemd::Unread::lost);
        open();
        ASSERT_TRUE(go_on([this] { return idle(); }, Pace::calm));
        EXPECT_TRUE(nobody_writes(ends.output));
        const Record record = record_of(job);
        EXPECT_EQ(record.state, RecordState::ended);
        EXPECT_EQ(record.pipes, merge_stderr ? 1U : 2U);
        EXPECT_TRUE(record.stdout_not_kept);
        for (const auto& from : record.result.lost_from) EXPECT_FALSE(from);
        expect_nothing_left();
    }
}

}  // namespace
}  // namespace postern::jobs
