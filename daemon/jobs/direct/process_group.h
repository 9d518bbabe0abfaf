// A job's processes where it has no cgroup: its process group. A process that makes a POSIX session
// of its own (setsid(2)) is no longer in it and can't be ended.
#pragma once

#include "daemon/jobs/direct/processes.h"

namespace postern::jobs {

class ProcessGroup final : public Processes {
  public:
    void set_main(pid_t pid) override { main_ = pid; }
    // As long as the main process is a zombie, its number is nobody else's, as process or as group.
    [[nodiscard]] bool can_reap_main() const override { return false; }
    void terminate(int signal) override;
    bool kill() override;
    [[nodiscard]] bool empty() const override;
    [[nodiscard]] std::size_t count() const override;
    [[nodiscard]] std::string watched_file() const override { return {}; }
    // An unprivileged guard can't kill a setuid program.
    [[nodiscard]] bool kill_is_certain() const override { return false; }
    void remove() override {}

  private:
    // Whether it is of the group, besides the main process, and has not ended.
    [[nodiscard]] bool is_left(pid_t pid) const;

    pid_t main_ = -1;
};

}  // namespace postern::jobs
