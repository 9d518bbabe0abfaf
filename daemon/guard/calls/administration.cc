#include "daemon/guard/calls/administration.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/version.h"
#include "daemon/loop/clock.h"

namespace postern {

Administration::Administration(jobs::JobManager& jobs, std::vector<SocketReport> sockets,
                               Hooks hooks)
    : jobs_(jobs), sockets_(std::move(sockets)), hooks_(std::move(hooks)), started_(wall_clock()) {}

void Administration::handle(const CallPtr& call, const ManageCall& asked) {
    const pid_t pid = call->origin().pid;
    switch (asked.what) {
        case Management::status:
            report_status(*call);
            report_files(*call);
            report_problems(*call);
            finish(*call, {});
            break;
        case Management::reload:
            spdlog::info("reload, asked for by pid {}", pid);
            reloads_.emplace(hooks_.reload(), call);
            break;
        case Management::log_level: {
            const Status set = hooks_.set_log_level(asked.text);
            if (set) {
                spdlog::info("log level {}, set by pid {}", asked.text, pid);
                AuditEvent event = call->event(AuditEvent::Kind::log_level_changed, "");
                event.level = asked.text;
                call->audit(event);
            }
            finish(*call, set);
            break;
        }
        case Management::jobs:
            report_jobs(*call);
            finish(*call, {});
            break;
    }
}

void Administration::report_status(CallContext& call) const {
    std::string full = jobs_.disk_full();
    if (!full.empty()) full.append("; ").append(jobs::full_disk_advice);
    call.answer(StatusReport{version, ::getpid(), started_, hooks_.log_level(),
                             std::string(jobs_.supervision()),
                             static_cast<std::uint32_t>(jobs_.active()), jobs_.record_problem(),
                             jobs_.output_problem(), std::move(full)});
    for (const SocketReport& socket : sockets_) call.answer(socket);
    for (CallerReport& caller : hooks_.callers()) call.answer(std::move(caller));
}

void Administration::report_problems(CallContext& call) const {
    for (ProblemReport& problem : hooks_.problems()) call.answer(std::move(problem));
}

void Administration::report_jobs(CallContext& call) const {
    for (const jobs::ActiveJob& job : jobs_.list()) {
        call.answer(JobReport{job.job, job.action, job.requester.uid, job.requester.pid, job.unit,
                              job.created});
    }
}

void Administration::report_files(CallContext& call) const {
    if (!unreadable_.empty()) call.answer(BadFileReport{"", "", unreadable_});
    if (!snapshot_) return;
    for (const policy::BadFile& bad : snapshot_->bad) {
        call.answer(BadFileReport{bad.action, bad.file, bad.message});
    }
    for (const auto& [name, action] : snapshot_->actions) {
        for (const std::string& warning : action.warnings)
            call.answer(WarningReport{name, warning});
    }
}

// Nothing is amiss with it: only who has just changed something there wants to know.
void Administration::report_no_effect(CallContext& call,
                                      const std::vector<std::string>& kept_out) const {
    for (const policy::PassedOver& file : snapshot_->passed_over) {
        call.answer(WarningReport{"", file.message});
    }
    for (const policy::MissingFolder& folder : snapshot_->missing) {
        if (!folder.message.empty()) call.answer(WarningReport{"", folder.message});
    }
    for (const std::string& warning : kept_out) call.answer(WarningReport{"", warning});
}

// Each once, for as long as it holds.
std::vector<std::string> Administration::kept_out_news() {
    std::vector<std::string> news;
    for (const std::string& warning : snapshot_->people.kept_out) {
        if (std::ranges::find(told_, warning) == told_.end()) news.push_back(warning);
    }
    told_ = snapshot_->people.kept_out;
    return news;
}

void Administration::finish(CallContext& call, const Status& done) const {
    call.answer(Managed{done.has_value(), done ? "" : done.error().message,
                        snapshot_ ? static_cast<std::uint32_t>(snapshot_->actions.size()) : 0});
}

void Administration::loaded(const Result<policy::SnapshotPtr>& snapshot, std::uint64_t request) {
    if (snapshot) snapshot_ = *snapshot;
    unreadable_ = snapshot ? "" : snapshot.error().message;
    const auto end = reloads_.upper_bound(request);
    const bool answers = snapshot && end != reloads_.begin();
    const std::vector<std::string> news = answers ? kept_out_news() : std::vector<std::string>();
    for (auto it = reloads_.begin(); it != end; ++it) {
        if (snapshot) {
            report_files(*it->second);
            report_no_effect(*it->second, news);
            report_problems(*it->second);
        }
        finish(*it->second, snapshot ? Status() : Status(fail(snapshot.error().message)));
    }
    reloads_.erase(reloads_.begin(), end);
}

}  // namespace postern
