#include "daemon/calls.h"

#include <spdlog/spdlog.h>

#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "daemon/identity.h"
#include "daemon/job_audit.h"
#include "daemon/policy/arguments.h"

namespace postern {

// One job from its start to its end, and the call that waits for it, as long as one does.
class Calls::JobCall final : public JobAudit {
  public:
    JobCall(Calls& calls, SessionProcess& session, const channel::Run& call,
            const ConnectionInfo& connection)
        : JobAudit(calls.audit_, session.caller(), connection.pid, connection.unit, call.action),
          calls_(calls),
          session_(&session),
          connection_(call.connection),
          request_(call.request) {}

    [[nodiscard]] Key key() const { return {session_, connection_, request_}; }
    void set_job(std::string job, bool kill_on_disconnect) {
        job_ = std::move(job);
        kill_on_disconnect_ = kill_on_disconnect;
    }
    [[nodiscard]] const std::string& job() const { return job_; }

    // Nobody waits for it any more.
    void disconnect() {
        session_ = nullptr;
        if (kill_on_disconnect_) calls_.jobs_.end(job_, Outcome::disconnected);
    }

    void started(const std::string& job, UniqueFd stdout_file, UniqueFd stderr_file) override {
        if (session_ == nullptr) return;
        std::vector<UniqueFd> files;
        files.push_back(std::move(stdout_file));
        files.push_back(std::move(stderr_file));
        session_->send(channel::JobStarted{connection_, request_, job}, std::move(files));
    }
    void start_failed(const std::string& job, const jobs::StartFailure& failure) override {
        JobAudit::start_failed(job, failure);
        finish(channel::Refused{connection_, request_, channel::Refusal::start_failed, job,
                                action() + ": " + failure.message});
    }
    void output(const std::string& /*job*/) override {
        if (session_ != nullptr) session_->send(channel::JobOutput{connection_, request_});
    }
    void ended(const std::string& job, const JobResult& result) override {
        JobAudit::ended(job, result);
        finish(channel::JobEnded{connection_, request_, result});
    }

  private:
    void finish(const channel::ToSession& answer) {
        if (session_ == nullptr) return;
        calls_.under_way_.erase(key());
        std::exchange(session_, nullptr)->send(answer);
    }

    Calls& calls_;
    SessionProcess* session_;
    std::uint64_t connection_;
    std::uint32_t request_;
    std::string job_;
    bool kill_on_disconnect_ = false;
};

Calls::Calls(jobs::JobManager& jobs, Audit& audit, const Limits& limits)
    : jobs_(jobs), audit_(audit), limits_(limits) {}

Calls::~Calls() = default;

void Calls::handle(SessionProcess& session, const channel::ToGuard& message) {
    if (const auto* call = std::get_if<channel::Run>(&message)) {
        run(session, *call);
    } else if (const auto* check_call = std::get_if<channel::Check>(&message)) {
        check(session, *check_call);
    } else if (const auto* describe_call = std::get_if<channel::Describe>(&message)) {
        describe_action(session, *describe_call);
    } else if (const auto* await_call = std::get_if<channel::AwaitOutput>(&message)) {
        await_output(session, *await_call);
    }
}

template <typename Call>
AuditEvent Calls::audit_event(AuditEvent::Kind kind, const SessionProcess& session,
                              const Call& call) {
    const ConnectionInfo& connection = session.connections().at(call.connection);
    AuditEvent event;
    event.kind = kind;
    event.caller = session.caller().get();
    event.pid = connection.pid;
    event.unit = connection.unit;
    event.action = call.action;
    return event;
}

template <typename Call>
void Calls::refuse(SessionProcess& session, const Call& call, channel::Refusal refusal,
                   const std::string& subject, const std::string& message) {
    session.send(channel::Refused{call.connection, call.request, refusal, subject, message});
}

template <typename Call>
policy::Verdict Calls::decide_or_refuse(SessionProcess& session, const Call& call) {
    policy::Verdict verdict = policy::decide(*snapshot_, *session.caller(), call.action);
    if (verdict.action == nullptr) {
        AuditEvent event = audit_event(AuditEvent::Kind::call_denied, session, call);
        event.rule = verdict.rule;
        event.place = verdict.place;
        event.reason = verdict.reason;
        audit_.write(event);
        const auto& unit = session.connections().at(call.connection).unit;
        // The same words whether it exists or not.
        refuse(session, call, channel::Refusal::not_granted, call.action,
               '"' + printable(call.action) + "\" does not exist or is not granted to you (" +
                   describe(*session.caller(), unit) + ")");
    }
    return verdict;
}

template <typename Call>
std::optional<policy::Command> Calls::bind_or_refuse(SessionProcess& session, const Call& call,
                                                     const policy::Action& action) {
    auto command = policy::bind_arguments(action, call.arguments);
    if (command) return std::move(*command);
    AuditEvent event = audit_event(AuditEvent::Kind::call_refused, session, call);
    event.reason = command.error().message;
    audit_.write(event);
    refuse(session, call, channel::Refusal::invalid_argument, command.error().argument,
           command.error().message);
    return std::nullopt;
}

void Calls::run(SessionProcess& session, const channel::Run& call) {
    const Key key{&session, call.connection, call.request};
    if (under_way_.contains(key)) return session.end("it used the number of a call under way");
    const policy::Verdict verdict = decide_or_refuse(session, call);
    if (verdict.action == nullptr) return;
    auto command = bind_or_refuse(session, call, *verdict.action);
    if (!command) return;

    const policy::Caller& caller = *session.caller();
    const bool full = jobs_.active() >= limits_.jobs;
    if (full || jobs_.active(caller.uid) >= limits_.jobs_per_uid) {
        const std::string limit = full ? "jobs" : "jobs-per-uid";
        const std::string bound = std::to_string(full ? limits_.jobs : limits_.jobs_per_uid);
        AuditEvent event = audit_event(AuditEvent::Kind::call_refused, session, call);
        event.reason = "limit " + limit;
        audit_.write(event);
        return refuse(session, call, channel::Refusal::limit_reached, limit,
                      (full ? "there are already " : "you already have ") + bound +
                          " jobs running (limit " + limit + "); try again when one has ended");
    }

    const ConnectionInfo& connection = session.connections().at(call.connection);
    auto job_call = std::make_unique<JobCall>(*this, session, call, connection);
    JobCall* observer = job_call.get();
    const auto admit = [&](const std::string& job) {
        AuditEvent event = audit_event(AuditEvent::Kind::job_started, session, call);
        event.rule = verdict.rule;
        event.place = verdict.place;
        event.job = job;
        event.arguments = command->shown;
        return audit_.write(event);
    };
    auto job = jobs_.start(*verdict.action, *command, {caller.uid, caller.gid, connection.pid},
                           std::move(job_call), admit);
    if (!job) {
        spdlog::error("{}: no job can be started: {}", call.action, job.error().message);
        AuditEvent event = audit_event(AuditEvent::Kind::call_refused, session, call);
        event.reason = job.error().message;
        audit_.write(event);
        return refuse(session, call, channel::Refusal::unavailable, "",
                      "no job can be started at the moment: its record or its audit can't be "
                      "written; try again later, the administrator finds more in the log");
    }
    observer->set_job(*job, verdict.action->description.kill_on_disconnect);
    under_way_.emplace(key, observer);
}

void Calls::check(SessionProcess& session, const channel::Check& call) {
    const policy::Verdict verdict = decide_or_refuse(session, call);
    if (verdict.action == nullptr) return;
    if (!bind_or_refuse(session, call, *verdict.action)) return;
    session.send(channel::CheckPassed{call.connection, call.request});
}

void Calls::describe_action(SessionProcess& session, const channel::Describe& call) {
    const policy::Verdict verdict = decide_or_refuse(session, call);
    if (verdict.action == nullptr) return;
    session.send(channel::Described{call.connection, call.request, verdict.action->description});
}

void Calls::await_output(SessionProcess& session, const channel::AwaitOutput& call) {
    const auto found = under_way_.find({&session, call.connection, call.request});
    // The job may have ended while the message was on its way: JobEnded says all.
    if (found == under_way_.end()) return;
    jobs_.await_output(found->second->job(), call.stdout_offset, call.stderr_offset);
}

void Calls::connection_closed(const SessionProcess& session, std::uint64_t connection) {
    auto it = under_way_.lower_bound({&session, connection, 0});
    std::vector<JobCall*> calls;
    while (it != under_way_.end() && std::get<0>(it->first) == &session &&
           std::get<1>(it->first) == connection) {
        calls.push_back(it->second);
        it = under_way_.erase(it);
    }
    for (JobCall* call : calls) call->disconnect();
}

bool Calls::has_jobs(const SessionProcess& session) const {
    const auto it = under_way_.lower_bound({&session, 0, 0});
    return it != under_way_.end() && std::get<0>(it->first) == &session;
}

}  // namespace postern
