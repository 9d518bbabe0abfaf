// A real manager whose supervisor is a systemd that the test plays.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/unit/daemon/jobs/fixture.h"
#include "tests/unit/daemon/jobs/unit/fake_systemd.h"

namespace postern::jobs {

class UnitJobsTest : public JobsTest {
  protected:
    void SetUp() override;
    void TearDown() override;

    // Anew, with nothing on the disk: for one case of many.
    void begin(FakeSystemd::Version version);
    // A manager on what is there, connected to the same systemd.
    void open();
    // A job that has a key and waits for nobody.
    StoryPtr start_job();

    // One thing: the manager deals with one event of its loop, or systemd with one message. False:
    // neither has any.
    bool step();
    // Whether something happens to units while messages are still on their way.
    enum class Pace : bool { calm, eager };
    // Goes on until it is so, or at most `steps`, each of them one thing or one that happens to a
    // unit. False: nothing more comes, or those were all.
    bool go_on(const std::function<bool()>& so, Pace pace, std::size_t steps = SIZE_MAX);
    // Until all messages are dealt with.
    void settle();

    // As kill -9 would: nothing more goes out.
    void kill_guard(FakeSystemd::Unread unread);

    [[nodiscard]] std::optional<Record> found_by_key() const;
    [[nodiscard]] bool idle() const { return manager_->active() == 0; }
    // It is over for everybody: no unit, no active job, one record with the end.
    void expect_nothing_left();

    std::optional<TemporaryDirectory> place_;
    std::optional<FakeSystemd> systemd_;
};

}  // namespace postern::jobs
