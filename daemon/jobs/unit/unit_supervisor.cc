#include "daemon/jobs/unit/unit_supervisor.h"

#include <utility>

namespace postern::jobs {

Result<std::unique_ptr<UnitSupervisor>> UnitSupervisor::connect(JobHost& host) {
    std::unique_ptr<UnitSupervisor> made(new UnitSupervisor(host));
    ServiceManager::Events events;
    events.changed = [raw = made.get()](const std::string& unit, const UnitChanges& changes) {
        raw->changed(unit, changes);
    };
    events.connected = [raw = made.get()] { raw->reconnected(); };
    POSTERN_TRY(auto services, ServiceManager::connect(host.event(), host.settings().systemd_socket,
                                                       std::move(events)));
    made->services_ = std::move(services);
    return made;
}

std::unique_ptr<UnitJob> UnitSupervisor::make(JobParts parts) {
    return std::make_unique<UnitJob>(host_, *services_, jobs_, std::move(parts));
}

Result<std::unique_ptr<Job>> UnitSupervisor::prepare(JobParts parts) {
    parts.record.unit = job_unit(parts.record.job);
    return std::unique_ptr<Job>(make(std::move(parts)));
}

void UnitSupervisor::resume(std::vector<Record> left) {
    for (Record& record : left) resume(std::move(record));
    forget_units();
}

void UnitSupervisor::resume(Record record) {
    const UniqueFd folder = host_.records().open_folder(record.job);
    auto streams = JobStreams::open(folder.get());
    if (!streams) {
        host_.notice("job " + record.job.text() + " can't be resumed: " + streams.error().message);
        // Whoever asks for it again must not start another.
        host_.records().remember_key(record);
        return;
    }
    host_.observer().resumed(record);
    JobParts parts;
    parts.record = std::move(record);
    parts.streams = std::move(*streams);
    auto made = make(std::move(parts));
    UnitJob& job = *made;
    host_.add(std::move(made));
    if (job.record().kill_on_disconnect) job.expect_return();
    job.resume();
}

// A call that systemd has not dealt with when the guard dies is lost, since systemd can't ask any
// more who made it; and so a unit may be left whose job is over. Others' units stay: they may be
// jobs of another guard, which has not seen yet how they ended.
void UnitSupervisor::forget_units() {
    services_->failed_units([this](const std::vector<std::string>& names) {
        for (const std::string& name : names) {
            if (jobs_.contains(name)) continue;
            const auto record = host_.records().read(job_of_unit(name));
            if (record && is_over(record->state)) services_->reset_failed(name);
        }
    });
}

void UnitSupervisor::changed(const std::string& unit, const UnitChanges& changes) {
    const auto found = jobs_.find(unit);
    if (found != jobs_.end()) found->second->changed(changes);
}

void UnitSupervisor::reconnected() {
    for (const auto& [unit, job] : jobs_) job->reconnected();
    forget_units();
}

}  // namespace postern::jobs
