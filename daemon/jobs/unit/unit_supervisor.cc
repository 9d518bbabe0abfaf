#include "daemon/jobs/unit/unit_supervisor.h"

#include <algorithm>
#include <utility>

namespace postern::jobs {

Result<std::unique_ptr<UnitSupervisor>> UnitSupervisor::connect(JobHost& host) {
    std::unique_ptr<UnitSupervisor> made(new UnitSupervisor(host));
    ServiceManager::Events events;
    events.changed = [raw = made.get()](const std::string& unit, Told told, const UnitNews& news) {
        raw->changed(unit, told, news);
    };
    events.connected = [raw = made.get()] { raw->reconnected(); };
    events.reloaded = [raw = made.get()] { raw->reloaded(); };
    events.mount_changed = [raw = made.get()](std::chrono::microseconds at) {
        raw->spares_->mount_changed(at);
    };
    POSTERN_TRY(auto services, ServiceManager::connect(host.event(), host.settings().systemd_socket,
                                                       std::move(events)));
    made->services_ = std::move(services);
    const auto is_busy = [jobs = &made->jobs_] {
        return std::ranges::any_of(
            *jobs, [](const auto& entry) { return entry.second->is_being_started(); });
    };
    made->cleaner_ = std::make_unique<UnitCleaner>(host.event(), *made->services_, is_busy);
    made->spares_ = std::make_unique<Spares>(host, *made->services_, is_busy);
    return made;
}

std::unique_ptr<UnitJob> UnitSupervisor::make(JobParts parts, std::unique_ptr<Spare> spare) {
    const UnitJob::Around around{*services_, *cleaner_, *spares_, jobs_};
    return std::make_unique<UnitJob>(host_, around, std::move(parts), std::move(spare));
}

Result<std::unique_ptr<Job>> UnitSupervisor::prepare(JobParts parts) {
    parts.record.unit = job_unit(parts.record.job);
    auto spare = spares_->handed(parts.record.job);
    parts.record.spare = spare != nullptr;
    if (!spare) parts.record.timeout = {};
    auto job = make(std::move(parts), std::move(spare));
    job->prepare();
    return std::unique_ptr<Job>(std::move(job));
}

void UnitSupervisor::resume(std::vector<Record> left) {
    for (Record& record : left) resume(std::move(record));
    spares_->forget_left();
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
    auto made = make(std::move(parts), nullptr);
    UnitJob& job = *made;
    host_.add(std::move(made));
    if (job.record().kill_on_disconnect) job.expect_return();
    job.resume();
}

// A call that systemd has not dealt with when the guard dies is lost, since systemd can't ask any
// more who made it; and so a unit may be left whose job is over. Others' units stay: they may be
// jobs of another guard, which has not seen yet how they ended.
void UnitSupervisor::forget_units() {
    services_->units_that_are_over([this](const std::string& name, bool has_failed) {
        if (jobs_.contains(name)) return;
        const auto record = host_.records().read(job_of_unit(name));
        if (record && is_over(record->state)) cleaner_->add(name, has_failed);
    });
}

void UnitSupervisor::changed(const std::string& unit, Told told, const UnitNews& news) {
    const auto found = jobs_.find(unit);
    if (found != jobs_.end()) return found->second->changed(told, news);
    if (cleaner_->changed(unit, told, news)) return;
    spares_->changed(unit, told, news);
}

void UnitSupervisor::reloaded() {
    spares_->let_all_go();
    for (const auto& [unit, job] : jobs_) job->reloaded();
    cleaner_->look_at_awaited();
}

void UnitSupervisor::reconnected() {
    for (const auto& [unit, job] : jobs_) job->reconnected();
    spares_->reconnected();
    cleaner_->look_at_awaited();
    forget_units();
}

}  // namespace postern::jobs
