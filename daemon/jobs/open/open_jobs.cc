#include "daemon/jobs/open/open_jobs.h"

#include <csignal>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/jobs/direct/cgroup.h"
#include "daemon/jobs/direct/direct_supervisor.h"
#include "daemon/jobs/direct/recovery.h"
#include "daemon/jobs/job_table.h"
#include "daemon/jobs/supervised_jobs.h"
#include "daemon/jobs/unit/unit_supervisor.h"
#include "host/boot_id.h"

namespace postern::jobs {
namespace {

// An ignored SIGCHLD is inherited over exec; with it the kernel reaps our children itself, and how
// they ended is lost (wait(2), NOTES).
void keep_children_waitable() {
    struct sigaction action{};
    if (sigaction(SIGCHLD, nullptr, &action) < 0) return;
    const bool ignored =
        (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;  // NOLINT
    if (!ignored && (action.sa_flags & SA_NOCLDWAIT) == 0) return;
    action = {};
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, nullptr);
}

// Takes those out whose units systemd has kept. They can only be resumed where it supervises.
std::vector<Record> take_units(std::vector<Record>& unfinished) {
    const std::string boot = boot_id();
    std::vector<Record> units;
    std::vector<Record> others;
    for (Record& record : unfinished) {
        const bool kept = !record.unit.empty() && record.boot == boot && !boot.empty();
        (kept ? units : others).push_back(std::move(record));
    }
    unfinished = std::move(others);
    return units;
}

std::optional<CgroupPlace> find_place(const JobTable& table) {
    Result<CgroupPlace> made = make_jobs_cgroup(table.records().state_folder());
    if (made) return *made;
    table.notice("jobs get no cgroup of their own (" + made.error().message +
                 "): when one is ended, processes that left its process group go on");
    return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<JobManager>> open_jobs(sd_event* event, Settings settings,
                                              Observer& observer) {
    keep_children_waitable();
    const bool by_systemd = !settings.systemd_socket.empty();
    POSTERN_TRY(RecordStore records,
                RecordStore::open(settings.state_folder, settings.runtime_folder,
                                  settings.retention, settings.notice));
    POSTERN_TRY(auto table,
                JobTable::create(event, std::move(settings), std::move(records), observer));
    const std::optional<CgroupPlace> cgroup = by_systemd ? std::nullopt : find_place(*table);

    std::vector<Record> unfinished = table->records().load();
    std::vector<Record> units;
    if (by_systemd) units = take_units(unfinished);
    recover(table->records(), std::move(unfinished), cgroup, observer, table->settings().notice);
    for (const JobId& job : table->records().unstored()) table->empty_later(job);

    std::unique_ptr<Supervisor> supervisor;
    if (by_systemd) {
        POSTERN_TRY(auto systemd, UnitSupervisor::connect(*table));
        systemd->resume(std::move(units));
        supervisor = std::move(systemd);
    } else {
        supervisor = std::make_unique<DirectSupervisor>(*table, cgroup);
    }
    return std::unique_ptr<JobManager>(
        std::make_unique<SupervisedJobs>(std::move(table), std::move(supervisor)));
}

}  // namespace postern::jobs
