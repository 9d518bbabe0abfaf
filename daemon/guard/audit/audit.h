// The audit: one record for every connection refused, call denied or refused, job started or ended,
// and action file that is not in force, so that the administrator knows who did what and why.
//
// Goes to a file (0600, one JSON object a line), else to the journal (native protocol, structured
// fields), else to stderr. Never blocks: what can't be written at once waits in a bounded queue,
// and when that is full, write() says so and no job is started. How jobs end is still taken then.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/guard/audit/account_names.h"
#include "daemon/guard/audit/audit_arguments.h"
#include "daemon/guard/audit/audit_file.h"
#include "daemon/guard/audit/audit_sink.h"
#include "daemon/guard/audit/denial_window.h"
#include "daemon/loop/event_source.h"
#include "daemon/policy/change.h"
#include "daemon/policy/verdict.h"
#include "model/job.h"

namespace postern {

struct AuditEvent {
    enum class Kind : std::uint8_t {
        connection_refused,  // caller may be unknown; reason
        call_denied,         // not granted: action, rule, place, reason
        call_refused,        // granted, but: invalid arguments, a limit; action, reason
        job_started,         // action, rule, place, job, arguments
        job_ended,           // action, job, result
        job_not_started,     // action, job, reason
        job_lost,            // action, job: a guard died while it ran
        packet_refused,      // of a datagram socket: listener, reason; caller may be unknown
        session_failed,      // the session of this caller broke the rules or died; reason
        connection_dropped,  // by its session: listener, reason
        job_evicted,         // action, job: removed to make room for others; reason
        disk_full,           // no caller: place, reason
        disk_has_room,       // no caller: place
        action_off,          // no caller: action (none: a whole folder's), place (its file), reason
        actions_changed,     // no caller: change
        job_cancelled,       // action, job, signal; reason: whose it is, if not the caller's
        log_level_changed,   // level
    };
    Kind kind = Kind::connection_refused;
    const policy::Caller* caller = nullptr;  // absent where the kernel did not say
    pid_t pid = 0;
    std::optional<std::string> unit;
    std::string listener;
    std::string action;
    std::string rule;
    std::string place;
    std::string reason;
    std::string job;
    std::vector<AuditArgument> arguments;
    std::optional<JobResult> result;
    std::optional<Canceller> cancelled_by;
    int signal = 0;
    std::string level;
    const policy::Change* change = nullptr;  // of each of its lists the first 32
};

class Audit {
  public:
    // Errors: as of open_audit_file().
    static Result<std::unique_ptr<Audit>> create(sd_event* event,
                                                 const std::optional<std::string>& file,
                                                 AuditNotice notice = {});
    Audit(sd_event* event, std::unique_ptr<AuditSink> sink);

    // False: not recorded and not queued. Denials and refusals of one owner are summed after
    // DenialWindow::most_single within a window; that counts as recorded.
    bool write(const AuditEvent& event);

    // Opens the file again where it no longer lies at its path. Error: why no start can be
    // recorded, and what to do.
    Status ready() { return sink_->ready(); }

    [[nodiscard]] const char* sink_name() const { return sink_->name(); }
    // What its records call users and groups.
    [[nodiscard]] AccountNames& names() { return names_; }

  private:
    bool record(const AuditEvent& event, std::uint64_t count);
    void sum_up();

    std::unique_ptr<AuditSink> sink_;
    AccountNames names_;
    DenialWindow denials_;
    Timer timer_;
    std::uint64_t lost_ = 0;  // records that could not be written since the last that could
};

// The record as it is written: exposed for tests.
std::string audit_json(const AuditEvent& event, std::chrono::system_clock::time_point time,
                       std::uint64_t count, const AccountNames& names = {});
AuditFields audit_fields(const AuditEvent& event, std::uint64_t count,
                         const AccountNames& names = {});

}  // namespace postern
