// The main process of a unit, as tests have it: a child of theirs, and what /proc and its cgroup
// say of it.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>

#include "tests/unit/temporary_directory.h"

namespace postern::jobs {

// Whether the kernel tells how a process ended that is another's child: since Linux 6.15.
bool kernel_tells_ends();

// One that waits until it is told to exit, or killed.
class MainOfUnit {
  public:
    MainOfUnit();
    ~MainOfUnit();
    MainOfUnit(const MainOfUnit&) = delete;
    MainOfUnit& operator=(const MainOfUnit&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    void end() const;
    void end_and_be_reaped();
    void be_reaped();
    // Until it is a zombie.
    void end_and_wait() const;
    void exit_and_wait(int status) const;

  private:
    void wait() const;

    std::array<int, 2> pipe_{};
    pid_t pid_ = 0;
    bool reaped_ = false;
};

// Of the process as one of this unit, below `place`: proc/ and cgroup/. `events`: of cgroup.events,
// which is not there where it is empty.
void say_of(const TemporaryDirectory& place, pid_t pid, const std::string& unit,
            const std::string& events);

}  // namespace postern::jobs
