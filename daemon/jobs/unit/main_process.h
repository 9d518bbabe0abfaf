// The main process of a job's unit, and what its cgroup says: sooner than systemd tells, and
// without asking it.
//
// By a pidfd, and proven to be of the unit by its cgroup. Whatever can't be had is done without:
// systemd tells of every end.
//
// How a process ended that is not one's own child is told by PIDFD_GET_INFO with PIDFD_INFO_EXIT,
// since Linux 6.15 (include/uapi/linux/pidfd.h), once its parent, systemd, has reaped it.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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

    // Called from the loop when it is a zombie, or no more; and once more when it is known how it
    // ended, where that was not known at once and ever is. It may let this go.
    using Ended = std::function<void(const std::optional<MainExit>& exit)>;

    // Null: it is not there any more, is none of the unit's, or there are no descriptors.
    static std::unique_ptr<MainProcess> watch(sd_event* event, const Places& places, pid_t pid,
                                              std::string_view unit, Ended ended);
    ~MainProcess() = default;
    MainProcess(const MainProcess&) = delete;
    MainProcess& operator=(const MainProcess&) = delete;

    // Somebody else is told of its end, even where somebody was told already; unless that was how
    // it ended.
    void tell(Ended ended);
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] bool has_ended() const;
    [[nodiscard]] Population population() const;
    // Of the whole unit; nothing where systemd has removed the cgroup.
    [[nodiscard]] UnitUsage usage() const;
    // Whether the kernel has killed a process of the unit for want of memory, or may have.
    [[nodiscard]] bool may_lack_memory() const;

  private:
    MainProcess() = default;
    void look(std::uint32_t revents);

    pid_t pid_ = 0;
    Ended ended_;
    bool has_told_ = false;  // that it has ended
    std::string folder_;     // of its cgroup
    UniqueFd pidfd_;
    UniqueFd events_;       // of its cgroup: cgroup.events,
    UniqueFd cpu_;          // cpu.stat,
    UniqueFd memory_peak_;  // and memory.peak, since Linux 5.19
    EventSource source_;
};

}  // namespace postern::jobs
