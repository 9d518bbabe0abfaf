#include "daemon/jobs/direct/recovery.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "daemon/jobs/direct/proc.h"
#include "daemon/loop/clock.h"
#include "host/boot_id.h"
#include "host/directory.h"

namespace postern::jobs {
namespace {

constexpr std::chrono::milliseconds patience{5000};

// A job that had no cgroup. Its main process is known by pid and start time. Others of its group
// may outlive that, and then the number alone proves little: they are known by the variable that
// every process of the job began with. (One who puts it into a process of his own gets that one
// killed.)
void end_group(const Record& record) {
    const pid_t leader = record.pid;
    if (leader <= 1) return;
    const UniqueFd process = open_process(leader);
    const std::optional<ProcessStat> stat = stat_of(leader);
    if (process && stat && stat->start == record.pid_start) {
        ::kill(-leader, SIGKILL);
        signal_process(process, SIGKILL);
    }
    const std::string mark = "POSTERN_JOB=" + record.job.text();
    constexpr std::size_t environment_bytes = 8 * 1024 * 1024;
    for (const pid_t pid : all_processes()) {
        if (pid == getpid()) continue;
        const UniqueFd other = open_process(pid);
        const auto environment =
            read_file("/proc/" + std::to_string(pid) + "/environ", environment_bytes);
        if (!environment) continue;
        const std::string_view text(*environment);
        for (std::size_t at = text.find(mark); at != std::string_view::npos;
             at = text.find(mark, at + 1)) {
            const std::size_t end = at + mark.size();
            const bool whole =
                (at == 0 || text[at - 1] == '\0') && (end == text.size() || text[end] == '\0');
            if (whole) signal_process(other, SIGKILL);
        }
    }
}

// `folder` below which each job of this state folder has its cgroup.
void end_all_in(const std::string& folder, const RecordStore::Notice& notice) {
    std::vector<std::string> left;
    {
        const Directory open(opendir(folder.c_str()));
        while (const dirent* entry = open ? readdir(open.get()) : nullptr) {
            const std::string_view name(static_cast<const char*>(entry->d_name));
            if (entry->d_type == DT_DIR && name != "." && name != "..") {
                left.push_back(folder + "/" + std::string(name));
            }
        }
    }
    // All first, so that waiting for one is waiting for all.
    for (const std::string& cgroup : left) write_file(cgroup + "/cgroup.kill", "1");
    for (const std::string& cgroup : left) {
        if (!end_cgroup(cgroup, patience) && notice) {
            notice("cgroup " + cgroup + ", left by a guard that died, could not be ended");
        }
    }
}

}  // namespace

void recover(RecordStore& store, std::vector<Record> unfinished,
             const std::optional<CgroupPlace>& jobs_cgroup, Observer& observer,
             const RecordStore::Notice& notice) {
    const std::string boot = boot_id();
    for (Record& record : unfinished) {
        const bool same_boot = record.boot == boot && !boot.empty();
        if (same_boot && !record.unit.empty()) {
            if (notice) {
                notice("job " + record.job.text() + " of " + record.action + ": its unit " +
                       record.unit + " may still run; without systemd its result can't be known");
            }
        } else if (same_boot && record.cgroup.empty()) {
            end_group(record);
        } else if (same_boot && is_job_cgroup(record.cgroup, store.state_folder(), record.job)) {
            // The guard may have been in another cgroup than now.
            if (!end_cgroup(record.cgroup, patience) && notice) {
                notice("job " + record.job.text() + " of " + record.action +
                       ": could not be ended after a guard died; its cgroup is " + record.cgroup);
            }
        }
        // Of another boot the record may be older than what the job had come to.
        record.message = !same_boot ? "the machine stopped before the job ended"
                         : record.state == RecordState::starting
                             ? "the guard ended before the program was run"
                             : "the guard ended while the job ran";
        record.state = RecordState::lost;
        record.result.outcome = Outcome::lost;
        record.result.ended = wall_clock();
        if (const Status written = store.write_last(record); !written && notice) {
            notice("record of the lost job " + record.job.text() + ": " + written.error().message);
        }
        observer.lost(record);
    }
    if (jobs_cgroup) end_all_in(jobs_cgroup->folder, notice);
}

}  // namespace postern::jobs
