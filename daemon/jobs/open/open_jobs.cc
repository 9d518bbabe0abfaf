#include "daemon/jobs/open/open_jobs.h"

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/jobs/direct/cgroup.h"
#include "daemon/jobs/direct/direct_supervisor.h"
#include "daemon/jobs/direct/recovery.h"
#include "daemon/jobs/job_table.h"
#include "daemon/jobs/open/late_jobs.h"
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
                 "): when one is ended, processes that left its process group continue");
    return std::nullopt;
}

Result<RecordStore, StateError> open_records(const Settings& settings) {
    return RecordStore::open(settings.state_folder, settings.runtime_folder, settings.retention,
                             settings.notice);
}

Result<std::unique_ptr<JobManager>> open_with(sd_event* event, Settings settings,
                                              RecordStore records, Observer& observer) {
    const bool by_systemd = !settings.systemd_socket.empty();
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

// Opens them as soon as the state directory allows it.
std::unique_ptr<JobManager> open_later(sd_event* event, Settings settings, Observer& observer,
                                       std::string why) {
    auto notice = settings.notice;
    auto kept = std::make_shared<std::optional<Settings>>(std::move(settings));
    const auto open = [event, kept, &observer](std::string& reason) -> std::unique_ptr<JobManager> {
        if (!*kept) return nullptr;
        auto records = open_records(**kept);
        if (!records) {
            reason = std::move(records).error().message;
            return nullptr;
        }
        auto opened = open_with(event, std::move(**kept), *std::move(records), observer);
        kept->reset();
        if (opened) return *std::move(opened);
        reason = std::move(opened).error().message + "; restart the daemon";
        return nullptr;
    };
    return std::make_unique<LateJobs>(event, std::move(why), open, std::move(notice));
}

}  // namespace

Result<std::unique_ptr<JobManager>> open_jobs(sd_event* event, Settings settings,
                                              Observer& observer) {
    keep_children_waitable();
    auto records = open_records(settings);
    if (records) return open_with(event, std::move(settings), *std::move(records), observer);
    if (!records.error().may_heal) return fail(std::move(records).error().message);
    return open_later(event, std::move(settings), observer, std::move(records).error().message);
}

}  // namespace postern::jobs
