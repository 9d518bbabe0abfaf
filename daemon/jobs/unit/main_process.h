// The main process of a job's unit, and what its cgroup says: sooner than systemd tells, and
// without asking it.
//
// By a pidfd, and proven to be of the unit by its cgroup. Whatever can't be had is done without:
// systemd tells of every end.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/jobs/unit/unit_news.h"
#include "daemon/loop/event_source.h"

namespace postern::jobs {

class MainProcess {
  public:
    struct Places {
        std::string proc;     // /proc
        std::string cgroups;  // /sys/fs/cgroup
    };
    // Whether processes are left in the unit.
    enum class Population : std::uint8_t {
        some,
        none,
        unknown,  // systemd may have removed the cgroup
    };

    // `ended`: the process is a zombie, or no more; called from the loop, once. Null: it is not
    // there any more, is none of the unit's, or there are no descriptors.
    static std::unique_ptr<MainProcess> watch(sd_event* event, const Places& places, pid_t pid,
                                              std::string_view unit, std::function<void()> ended);
    ~MainProcess() = default;
    MainProcess(const MainProcess&) = delete;
    MainProcess& operator=(const MainProcess&) = delete;

    // Somebody else is told of its end from now on.
    void tell(std::function<void()> ended) { ended_ = std::move(ended); }
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] bool has_ended() const;
    [[nodiscard]] Population population() const;
    // Of the whole unit; nothing where systemd has removed the cgroup.
    [[nodiscard]] UnitUsage usage() const;

  private:
    MainProcess() = default;

    pid_t pid_ = 0;
    std::function<void()> ended_;
    UniqueFd pidfd_;
    UniqueFd events_;       // of its cgroup: cgroup.events,
    UniqueFd cpu_;          // cpu.stat,
    UniqueFd memory_peak_;  // and memory.peak, since Linux 5.19
    EventSource source_;
};

}  // namespace postern::jobs
