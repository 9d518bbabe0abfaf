#include "daemon/guard/calls/calls.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/utf8.h"
#include "daemon/guard/calls/job_audit.h"
#include "daemon/guard/listen/identity.h"
#include "daemon/jobs/record/record.h"
#include "daemon/policy/arguments.h"

namespace postern {
namespace {

// Of one call.
constexpr int most_starts = 3;

void send_started(SessionProcess& session, std::uint64_t connection, std::uint32_t request,
                  const JobId& job, std::array<UniqueFd, 2> output) {
    std::vector<UniqueFd> files;
    files.push_back(std::move(output[0]));
    files.push_back(std::move(output[1]));
    session.send(channel::JobStarted{connection, request, job.text()}, std::move(files));
}

std::size_t text_bytes(const Scalar& value) {
    const auto* text = std::get_if<std::string>(&value);
    return text != nullptr ? text->size() : 0;
}

std::size_t text_bytes(const Arguments& arguments) {
    std::size_t bytes = 0;
    for (const auto& [name, value] : arguments) {
        bytes += name.size();
        if (const auto* text = std::get_if<std::string>(&value)) bytes += text->size();
        if (const auto* items = std::get_if<std::vector<Scalar>>(&value)) {
            for (const Scalar& item : *items) bytes += text_bytes(item);
        }
    }
    return bytes;
}

// Whether a caller can have sent this much: what is said of a call, to the session and in the
// audit, is then bounded too.
bool could_be_a_callers(const channel::ToGuard& message) {
    const auto is_text = [](const std::string& text) {
        return text.size() <= limits::json_string_bytes;
    };
    return std::visit(
        [&](const auto& call) {
            bool fits = true;
            if constexpr (requires { call.action; }) fits = fits && is_text(call.action);
            if constexpr (requires { call.job; }) fits = fits && is_text(call.job);
            if constexpr (requires { call.arguments; }) {
                fits = fits && text_bytes(call.arguments) <= limits::message_bytes;
            }
            return fits;
        },
        message);
}

// In whatever order.
bool same_arguments(std::vector<std::pair<std::string, std::string>> one,
                    std::vector<std::pair<std::string, std::string>> other) {
    std::ranges::sort(one);
    std::ranges::sort(other);
    return one == other;
}

JobView view_of(const jobs::Record& record) {
    JobView view;
    view.job = record.job.text();
    view.action = record.action;
    view.created = record.created;
    switch (record.state) {
        case jobs::RecordState::starting:
            break;
        case jobs::RecordState::running:
            view.state = JobState::running;
            break;
        case jobs::RecordState::ended:
        case jobs::RecordState::lost:
            view.state = JobState::ended;
            view.result = record.result;
            break;
        case jobs::RecordState::failed:
            view.state = JobState::failed;
            view.message = record.told;
            break;
    }
    return view;
}

}  // namespace

// A call that follows a job: to its end, or until the connection is over.
class Calls::Following final : public jobs::Follower {
  public:
    Following(Calls& calls, SessionProcess& session, std::uint64_t connection,
              std::uint32_t request, std::string action)
        : calls_(calls),
          session_(session),
          connection_(connection),
          request_(request),
          action_(std::move(action)) {}

    // The call that started the job: made again where that came to nothing by no fault of its own.
    void set_call(channel::Run call, int starts) {
        call_ = std::move(call);
        starts_ = starts;
    }

    // To send may end the session, and with it this.

    void started(const JobId& job, UniqueFd stdout_file, UniqueFd stderr_file) override {
        call_.reset();  // with its secrets: it is not made again
        send_started(session_, connection_, request_, job,
                     {std::move(stdout_file), std::move(stderr_file)});
    }
    void start_failed(const JobId& job, const jobs::StartFailure& failure) override {
        if (failure.again && call_ && starts_ + 1 < most_starts) {
            calls_.under_way_.erase({&session_, connection_, request_});
            calls_.run(session_, *call_, starts_ + 1);
        } else if (failure.again) {
            finish(channel::Refused{connection_, request_, channel::Refusal::unavailable, "",
                                    action_ + ": " + failure.message + "; try again"});
        } else {
            finish(channel::Refused{connection_, request_, channel::Refusal::start_failed,
                                    job.text(), action_ + ": " + failure.message});
        }
    }
    void output(const JobId& /*job*/) override {
        session_.send(channel::JobOutput{connection_, request_});
    }
    void ended(const JobId& /*job*/, const JobResult& result) override {
        finish(channel::JobEnded{connection_, request_, result});
    }

  private:
    void finish(const channel::ToSession& answer) {
        calls_.under_way_.erase({&session_, connection_, request_});
        session_.send(answer);
    }

    Calls& calls_;
    SessionProcess& session_;
    std::uint64_t connection_;
    std::uint32_t request_;
    std::string action_;
    std::optional<channel::Run> call_;
    int starts_ = 0;
};

Calls::Calls(jobs::JobManager& jobs, Audit& audit, JobAudit& job_audit, const Limits& limits)
    : jobs_(jobs), audit_(audit), job_audit_(job_audit), limits_(limits) {}

Calls::~Calls() = default;

void Calls::handle(SessionProcess& session, const channel::ToGuard& message) {
    if (!could_be_a_callers(message))
        return session.end("it asked for more than a message can hold");
    const bool twice = std::visit(
        [&](const auto& call) {
            using Call = std::decay_t<decltype(call)>;
            if constexpr (std::is_same_v<Call, channel::Run> ||
                          std::is_same_v<Call, channel::Follow>) {
                return under_way_.contains({&session, call.connection, call.request});
            } else {
                return false;
            }
        },
        message);
    if (twice) return session.end("it used the number of a call under way");
    if (const auto* call = std::get_if<channel::Run>(&message)) {
        run(session, *call);
    } else if (const auto* follow_call = std::get_if<channel::Follow>(&message)) {
        follow(session, *follow_call);
    } else if (const auto* look_up_call = std::get_if<channel::LookUp>(&message)) {
        look_up(session, *look_up_call);
    } else if (const auto* check_call = std::get_if<channel::Check>(&message)) {
        check(session, *check_call);
    } else if (const auto* describe_call = std::get_if<channel::Describe>(&message)) {
        describe_action(session, *describe_call);
    } else if (const auto* await_call = std::get_if<channel::AwaitOutput>(&message)) {
        await_output(session, *await_call);
    }
}

AuditEvent Calls::audit_event(AuditEvent::Kind kind, const SessionProcess& session,
                              std::uint64_t connection, const std::string& action) {
    const ConnectionInfo& info = session.connections().at(connection);
    AuditEvent event;
    event.kind = kind;
    event.caller = session.caller().get();
    event.pid = info.pid;
    event.unit = info.unit;
    if (info.packet) event.listener = info.packet->listener;
    event.action = action;
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
        AuditEvent event =
            audit_event(AuditEvent::Kind::call_denied, session, call.connection, call.action);
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
bool Calls::reachable_or_refuse(SessionProcess& session, const Call& call,
                                const policy::Action& action) {
    if (!session.connections().at(call.connection).packet || action.description.datagram) {
        return true;
    }
    AuditEvent event =
        audit_event(AuditEvent::Kind::call_refused, session, call.connection, call.action);
    event.reason = "the action is not for the datagram socket";
    audit_.write(event);
    refuse(session, call, channel::Refusal::not_by_datagram, call.action,
           '"' + call.action +
               "\" can't be run through the datagram socket: its file does not say "
               "\"datagram\": true; connect to the stream socket");
    return false;
}

template <typename Call>
std::optional<policy::Command> Calls::bind_or_refuse(SessionProcess& session, const Call& call,
                                                     const policy::Action& action) {
    auto command = policy::bind_arguments(action, call.arguments);
    if (command) return std::move(*command);
    AuditEvent event =
        audit_event(AuditEvent::Kind::call_refused, session, call.connection, call.action);
    event.reason = command.error().message;
    audit_.write(event);
    refuse(session, call, channel::Refusal::invalid_argument, command.error().argument,
           command.error().message);
    return std::nullopt;
}

void Calls::run(SessionProcess& session, const channel::Run& call, int starts) {
    if (!call.key.empty() && !is_job_key(call.key)) {
        return session.end("it sent a key that is none");
    }
    const policy::Verdict verdict = decide_or_refuse(session, call);
    if (verdict.action == nullptr) return;
    if (!reachable_or_refuse(session, call, *verdict.action)) return;
    const auto command = bind_or_refuse(session, call, *verdict.action);
    if (!command) return;
    std::optional<jobs::Record> known;
    if (!call.key.empty()) {
        auto found = find_own(session, call);
        if (!found) {
            spdlog::error("{}: {}", call.action, found.error().message);
            return refuse(session, call, channel::Refusal::unavailable, "",
                          "what was started with this key can't be found out at the moment; try "
                          "again later, the administrator finds more in the log");
        }
        known = std::move(*found);
    }
    if (!known) {
        if (has_room_or_refuse(session, call)) start(session, call, verdict, *command, starts);
    } else if (known->action == call.action && same_arguments(known->arguments, command->shown)) {
        spdlog::debug("job {}: found again by its key", known->job.text());
        answer_with(session, call, *known);
    } else {
        AuditEvent event =
            audit_event(AuditEvent::Kind::call_refused, session, call.connection, call.action);
        event.reason = "the key is in use";
        event.job = known->job.text();
        audit_.write(event);
        refuse(session, call, channel::Refusal::key_in_use, call.key,
               "the key " + call.key + " was given to another call, which started job " +
                   known->job.text() + " (" + known->action + "); a new call needs a new key");
    }
}

bool Calls::has_room_or_refuse(SessionProcess& session, const channel::Run& call) {
    const bool full = jobs_.active() >= limits_.jobs;
    if (!full && jobs_.active(session.caller()->uid) < limits_.jobs_per_uid) return true;
    const std::string limit = full ? "jobs" : "jobs-per-uid";
    const std::string bound = std::to_string(full ? limits_.jobs : limits_.jobs_per_uid);
    AuditEvent event =
        audit_event(AuditEvent::Kind::call_refused, session, call.connection, call.action);
    event.reason = "limit " + limit;
    audit_.write(event);
    refuse(session, call, channel::Refusal::limit_reached, limit,
           (full ? "there are already " : "you already have ") + bound + " jobs running (limit " +
               limit + "); try again when one has ended");
    return false;
}

void Calls::start(SessionProcess& session, const channel::Run& call, const policy::Verdict& verdict,
                  const policy::Command& command, int starts) {
    const ConnectionInfo& connection = session.connections().at(call.connection);
    std::unique_ptr<jobs::Follower> follower;
    // Nobody waits for the end of a job that a packet has started.
    if (!connection.packet) {
        auto following =
            std::make_unique<Following>(*this, session, call.connection, call.request, call.action);
        following->set_call(call, starts);
        follower = std::move(following);
    }
    const auto admit = [&](const JobId& job) {
        AuditEvent event =
            audit_event(AuditEvent::Kind::job_started, session, call.connection, call.action);
        event.rule = verdict.rule;
        event.place = verdict.place;
        event.job = job.text();
        event.arguments = command.shown;
        if (!audit_.write(event)) return false;
        job_audit_.remember(job, session.caller());
        return true;
    };
    const auto job = jobs_.start(*verdict.action, command, requester_of(session, call),
                                 std::move(follower), admit);
    if (!job) {
        spdlog::error("{}: no job can be started: {}", call.action, job.error().message);
        AuditEvent event =
            audit_event(AuditEvent::Kind::call_refused, session, call.connection, call.action);
        event.reason = job.error().message;
        audit_.write(event);
        return refuse(session, call, channel::Refusal::unavailable, "",
                      "no job can be started at the moment: its record or its audit can't be "
                      "written; try again later, the administrator finds more in the log");
    }
    if (connection.packet) {
        return session.send(channel::Detached{call.connection, call.request, job->text()});
    }
    under_way_.emplace(Key{&session, call.connection, call.request},
                       Followed{*job, jobs::first_follower});
}

// ---- Jobs of its own ----

bool Calls::is_own(const SessionProcess& session, const jobs::Requester& requester) const {
    const policy::Caller& caller = *session.caller();
    // What a packet has started, whoever of its user and group could have started.
    const bool groups_fit =
        !requester.groups_known ||
        (caller.groups_known && jobs_.digest(caller.groups) == requester.groups);
    return caller.uid == requester.uid && caller.gid == requester.gid && groups_fit &&
           (!snapshot_->names_units || caller.unit == requester.unit);
}

Result<std::optional<jobs::Record>> Calls::find_own(const SessionProcess& session,
                                                    const channel::Run& call) const {
    POSTERN_TRY(auto records, jobs_.find_key(requester_of(session, call)));
    for (jobs::Record& record : records) {
        if (!record.again && is_own(session, record.requester)) return std::optional(record);
    }
    return std::optional<jobs::Record>();
}

jobs::Requester Calls::requester_of(const SessionProcess& session, const channel::Run& call) const {
    const policy::Caller& caller = *session.caller();
    const ConnectionInfo& connection = session.connections().at(call.connection);
    return {caller.uid,          caller.gid,      connection.pid, jobs_.digest(caller.groups),
            caller.groups_known, connection.unit, call.key};
}

template <typename Call>
std::optional<jobs::Record> Calls::own_job_or_refuse(SessionProcess& session, const Call& call) {
    std::optional<jobs::Record> record = jobs_.find(JobId(call.job));
    if (record && is_own(session, record->requester)) return record;
    AuditEvent event = audit_event(AuditEvent::Kind::call_denied, session, call.connection,
                                   record ? record->action : "");
    event.job = call.job;
    event.reason = record ? "the job is another caller's" : "no such job";
    audit_.write(event);
    // The same words whether it exists or not.
    refuse(
        session, call, channel::Refusal::no_such_job, call.job,
        "there is no job \"" + printable(call.job) +
            "\" of yours: it never was, it is another caller's, or its record is no longer kept");
    return std::nullopt;
}

template <typename Call>
void Calls::answer_with(SessionProcess& session, const Call& call, const jobs::Record& record) {
    if (record.state == jobs::RecordState::failed) {
        return refuse(session, call, channel::Refusal::start_failed, record.job.text(),
                      record.action + ": " + record.told);
    }
    if (session.connections().at(call.connection).packet) {
        return session.send(channel::Detached{call.connection, call.request, record.job.text()});
    }
    if (follows(session, call.connection) >= limits::followed_by_connection) {
        return refuse(session, call, channel::Refusal::limit_reached, "connection",
                      "this connection follows " + std::to_string(limits::followed_by_connection) +
                          " jobs already; connect once more for another");
    }
    if (!is_over(record.state)) {
        auto follower =
            jobs_.follow(record.job, std::make_unique<Following>(*this, session, call.connection,
                                                                 call.request, record.action));
        if (follower) {
            under_way_.emplace(Key{&session, call.connection, call.request},
                               Followed{record.job, *follower});
            return;
        }
        spdlog::error("job {} can't be followed: {}", record.job.text(), follower.error().message);
    } else if (auto output = jobs_.open_output(record.job)) {
        send_started(session, call.connection, call.request, record.job, std::move(*output));
        return session.send(channel::JobEnded{call.connection, call.request, record.result});
    } else {
        spdlog::error("the output of job {} can't be read: {}", record.job.text(),
                      output.error().message);
    }
    refuse(session, call, channel::Refusal::unavailable, "",
           "the output of job " + record.job.text() +
               " can't be read at the moment; try again later, the "
               "administrator finds more in the log");
}

void Calls::follow(SessionProcess& session, const channel::Follow& call) {
    if (const auto record = own_job_or_refuse(session, call)) answer_with(session, call, *record);
}

void Calls::look_up(SessionProcess& session, const channel::LookUp& call) {
    if (const auto record = own_job_or_refuse(session, call)) {
        session.send(channel::JobFound{call.connection, call.request, view_of(*record)});
    }
}

void Calls::check(SessionProcess& session, const channel::Check& call) {
    const policy::Verdict verdict = decide_or_refuse(session, call);
    if (verdict.action == nullptr) return;
    if (!reachable_or_refuse(session, call, *verdict.action)) return;
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
    jobs_.await_output(found->second.job, found->second.follower, call.stdout_offset,
                       call.stderr_offset);
}

void Calls::connection_closed(const SessionProcess& session, std::uint64_t connection,
                              jobs::Leaving leaving) {
    auto it = under_way_.lower_bound({&session, connection, 0});
    while (it != under_way_.end() && std::get<0>(it->first) == &session &&
           std::get<1>(it->first) == connection) {
        const Followed followed = std::move(it->second);
        it = under_way_.erase(it);
        jobs_.leave(followed.job, followed.follower, leaving);
    }
}

std::size_t Calls::follows(const SessionProcess& session, std::uint64_t connection) const {
    const auto first = under_way_.lower_bound({&session, connection, 0});
    const auto last = under_way_.lower_bound({&session, connection + 1, 0});
    return static_cast<std::size_t>(std::distance(first, last));
}

bool Calls::has_jobs(const SessionProcess& session) const {
    const auto it = under_way_.lower_bound({&session, 0, 0});
    return it != under_way_.end() && std::get<0>(it->first) == &session;
}

}  // namespace postern
