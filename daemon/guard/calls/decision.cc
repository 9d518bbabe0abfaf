#include "daemon/guard/calls/decision.h"

#include <utility>

#include "base/utf8.h"
#include "daemon/guard/listen/identity.h"
#include "daemon/jobs/job_command.h"

namespace postern {
namespace {

// The lines of a message, as one sentence of a record.
std::string in_one_line(const std::string& lines) {
    std::string line;
    for (const char c : lines) {
        if (c == '\n') {
            line += "; ";
        } else {
            line += c;
        }
    }
    return line;
}

}  // namespace

policy::Verdict decide_or_refuse(CallContext& call, const policy::Snapshot& snapshot,
                                 const std::string& action) {
    policy::Verdict verdict = policy::decide(snapshot, call.caller(), action, call.origin().unit);
    if (verdict.action != nullptr) return verdict;
    AuditEvent event = call.event(AuditEvent::Kind::call_denied, action);
    event.rule = verdict.rule;
    event.place = verdict.place;
    event.reason = verdict.reason;
    call.audit(event);
    // The same words whether it exists or not.
    call.refuse(Refusal::not_granted, action,
                '"' + printable(action) + "\" does not exist or is not granted to you (" +
                    describe(call.caller(), call.origin().unit, call.names()) + ")");
    return verdict;
}

bool reachable_or_refuse(CallContext& call, const policy::Action& action) {
    if (!call.is_packet() || action.description.datagram) return true;
    const std::string& name = action.description.name;
    AuditEvent event = call.event(AuditEvent::Kind::call_refused, name);
    event.reason = "the action is not for the datagram socket";
    call.audit(event);
    call.refuse(Refusal::not_by_datagram, name,
                '"' + name +
                    "\" can't be run through the datagram socket: its file does not say "
                    "\"datagram\": true; connect to the stream socket");
    return false;
}

bool detachable_or_refuse(CallContext& call, const policy::Action& action, bool detach) {
    const ActionDescription& about = action.description;
    std::string says;
    std::string means;
    if (about.kill_on_disconnect) {
        says = R"("onDisconnect": "kill")";
        means = "ends its job when nobody follows it";
    } else if (about.direct_output) {
        says = R"("output": "direct")";
        means = "writes straight to the client that starts it";
    } else if (about.input == Input::direct) {
        says = R"("input": "direct")";
        means = "reads straight from the client that starts it";
    }
    if (!detach || says.empty()) return true;
    AuditEvent event = call.event(AuditEvent::Kind::call_refused, about.name);
    event.reason = "the action says " + says + ", so it can't be detached";
    call.audit(event);
    call.refuse(Refusal::not_detachable, about.name,
                '"' + about.name + "\" can't be detached: its file says " + says + ", which " +
                    means + "; run it without detaching it");
    return false;
}

bool startable_or_refuse(CallContext& call, const policy::Action& action) {
    const auto program = jobs::program_of(action);
    if (program) return true;
    AuditEvent event = call.event(AuditEvent::Kind::call_refused, action.description.name);
    event.reason = program.error().detail;
    call.audit(event);
    // There is no job.
    call.refuse(Refusal::start_failed, "", program.error().message);
    return false;
}

std::optional<policy::Command> bind_or_refuse(CallContext& call, const policy::Action& action,
                                              const Arguments& arguments,
                                              const std::optional<std::string>& input) {
    auto command = policy::bind_arguments(action, arguments, input);
    if (command) return std::move(*command);
    AuditEvent event = call.event(AuditEvent::Kind::call_refused, action.description.name);
    event.reason = in_one_line(command.error().message);
    call.audit(event);
    call.refuse(Refusal::invalid_argument, command.error().argument, command.error().message);
    return std::nullopt;
}

}  // namespace postern
