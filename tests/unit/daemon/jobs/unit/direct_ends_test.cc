// Ends of pipes in the place of a job's files, as systemd gets them.
#include <poll.h>

#include <csignal>

#include "daemon/jobs/job_pipe.h"
#include "tests/unit/daemon/jobs/unit/unit_fixture.h"

namespace postern::jobs {
namespace {

class BringsEnds final : public Follower {
  public:
    explicit BringsEnds(JobEnds ends) : ends_(std::move(ends)) {}
    JobEnds take_job_ends() override { return std::move(ends_); }
    void started(const JobId& /*job*/, UniqueFd /*out*/, UniqueFd /*err*/) override {}
    void start_failed(const JobId& /*job*/, const StartFailure& /*failure*/) override {}
    void output(const JobId& /*job*/) override {}
    void ended(const JobId& /*job*/, const JobResult& /*result*/) override {}

  private:
    JobEnds ends_;
};

bool nobody_writes(const UniqueFd& read_end) {
    pollfd watched{.fd = read_end.get(), .events = POLLIN, .revents = 0};
    return poll(&watched, 1, 0) == 1 && (watched.revents & POLLHUP) != 0;
}

class DirectEnds : public UnitJobsTest {};

TEST_F(DirectEnds, TheGuardLetsThemGoWithSystemdsAnswer) {
    begin(FakeSystemd::Version::v257);
    systemd_->set_life({"exit 0", CLD_EXITED, 0},
                       {Event::answer, Event::forked, Event::executed, Event::job_removed,
                        Event::exits, Event::settles});
    auto pipe = make_job_pipe(JobEnd::writes);
    ASSERT_TRUE(pipe);
    JobEnds ends;
    ends.stdout_end = std::move(pipe->write_end);
    const auto job = manager_->start(shell_action(anna), shell("exit 0"), {anna, anna, 4711},
                                     nullptr, std::make_unique<BringsEnds>(std::move(ends)),
                                     [](const JobId& /*job*/) { return true; });
    ASSERT_TRUE(job);
    EXPECT_TRUE(manager_->find(*job)->stdout_not_kept);
    EXPECT_FALSE(nobody_writes(pipe->read_end));
    ASSERT_TRUE(go_on([this] { return idle(); }, Pace::calm));
    EXPECT_TRUE(nobody_writes(pipe->read_end));
    // On the disk too.
    EXPECT_TRUE(record_of(*job).stdout_not_kept);
    expect_nothing_left();
}

}  // namespace
}  // namespace postern::jobs
