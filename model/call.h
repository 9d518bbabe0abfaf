// A call, as a session asks the guard for its caller, and what the guard answers.
//
// What of whom it is, and which call of which connection, is not in here: that is the envelope's
// (daemon/channel/messages.h) and, in the guard, the call context's. `fields` names what travels,
// in that order.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "model/action.h"
#include "model/argument.h"
#include "model/job.h"

namespace postern {

// ---- What is asked ----

struct RunCall {
    std::string action;
    Arguments arguments;
    // The caller's own name for this call (is_job_key()), or empty. A call with a key that this
    // caller has used is answered with the job that it started then.
    std::string key;
    // Bytes for the program's standard input, at most limits::input_bytes.
    std::optional<std::string> input = std::nullopt;
    // The client takes descriptors: what the action says goes straight is to go straight.
    bool descriptors = false;
    // Nobody waits for its end: it is answered as a packet's is.
    bool detach = false;
    static constexpr auto fields =
        std::tuple(&RunCall::action, &RunCall::arguments, &RunCall::key, &RunCall::input,
                   &RunCall::descriptors, &RunCall::detach);
};

// A job that this caller has started: followed from now on, as if it were Run; or only described.
struct FollowCall {
    JobId job;
    // Only what is stored of its output by now: nothing of a job that runs is waited for.
    bool stored = false;
    static constexpr auto fields = std::tuple(&FollowCall::job, &FollowCall::stored);
};
struct LookUpCall {
    JobId job;
    static constexpr auto fields = std::tuple(&LookUpCall::job);
};

// Such a job is to end: `signal` (one of cancel_signals) first, or KILL at once. Answered when it
// has.
struct CancelCall {
    JobId job;
    std::int32_t signal = 0;
    bool now = false;
    static constexpr auto fields =
        std::tuple(&CancelCall::job, &CancelCall::signal, &CancelCall::now);
};
// A page of the caller's own jobs, the newest first; or of everybody's, which is the
// administrator's to ask.
struct ListCall {
    std::string action;             // empty: of any
    std::optional<JobState> state;  // absent: in any
    Time since;                     // created then or later
    std::uint32_t limit = 0;        // at least 1, at most limits::jobs_per_page
    bool all = false;
    // Where the page before ended. Absent: this is the first one.
    std::optional<Time> before;
    JobId before_job;
    static constexpr auto fields =
        std::tuple(&ListCall::action, &ListCall::state, &ListCall::since, &ListCall::limit,
                   &ListCall::all, &ListCall::before, &ListCall::before_job);
};

struct CheckCall {
    std::string action;
    Arguments arguments;
    static constexpr auto fields = std::tuple(&CheckCall::action, &CheckCall::arguments);
};

// Only for an action that is not in the session's set: the denial comes, like every denial, from
// the guard, which records it.
struct DescribeCall {
    std::string action;
    static constexpr auto fields = std::tuple(&DescribeCall::action);
};

// No call of its own: it goes on with a Run or Follow. All output up to these offsets has been
// read: say so when there is more (at once, if it is so).
struct AwaitOutput {
    std::uint64_t stdout_offset = 0;
    std::uint64_t stderr_offset = 0;
    static constexpr auto fields =
        std::tuple(&AwaitOutput::stdout_offset, &AwaitOutput::stderr_offset);
};

// No call of its own either: how much of each stream the client has; not_awaited: it wants no more
// of it. What it was sent counts, not what the session has read. Never less than before, never more
// than there is.
struct OutputTaken {
    std::uint64_t stdout_offset = 0;
    std::uint64_t stderr_offset = 0;
    static constexpr auto fields =
        std::tuple(&OutputTaken::stdout_offset, &OutputTaken::stderr_offset);
};

// Nor this: it goes on with a Run whose JobStarted says that the client gets descriptors. All
// earlier replies were sent; this is the reply to send the descriptors with.
struct HandOver {
    std::string reply;  // at most limits::started_reply_bytes
    static constexpr auto fields = std::tuple(&HandOver::reply);
};

// The unit of the calling process, where the session was not told.
struct UnitCall {
    static constexpr auto fields = std::tuple<>();
};

// The administrator's.
enum class Management : std::uint8_t {
    status = 0,
    reload = 1,     // answered when what is then on disk is in force
    log_level = 2,  // `text`: which
    jobs = 3,       // those of all users that have not ended
};
struct ManageCall {
    Management what = Management::status;
    std::string text;
    static constexpr auto fields = std::tuple(&ManageCall::what, &ManageCall::text);
};

// The administrator's: the same with all jobs of a user, by name or number.
struct CancelAllCall {
    std::string user;
    std::int32_t signal = 0;
    bool now = false;
    static constexpr auto fields =
        std::tuple(&CancelAllCall::user, &CancelAllCall::signal, &CancelAllCall::now);
};

using Call =
    std::variant<RunCall, FollowCall, LookUpCall, CheckCall, DescribeCall, AwaitOutput, OutputTaken,
                 ManageCall, HandOver, CancelCall, CancelAllCall, ListCall, UnitCall>;

// ---- What is answered ----

enum class Refusal : std::uint8_t {
    not_granted = 0,       // subject: the action
    invalid_argument = 1,  // subject: the argument
    limit_reached = 2,     // subject: the limit
    unavailable = 3,       // subject: empty
    start_failed = 4,      // subject: the job
    no_such_job = 5,       // subject: the job
    key_in_use = 6,        // subject: the key
    not_by_datagram = 7,   // subject: the action
    job_ended = 8,         // subject: the job
    not_detachable = 9,    // subject: the action
    ambiguous_job = 10,    // subject: the job
    bad_parameter = 11,    // subject: the name of the parameter
    retryable = 12,        // subject: empty. As unavailable, and a later daemon takes the same call
};

// Ends any call: it failed.
struct Refused {
    Refusal refusal = Refusal::unavailable;
    std::string subject;
    std::string message;
    static constexpr auto fields =
        std::tuple(&Refused::refusal, &Refused::subject, &Refused::message);
};

// To Check: Run would start a job.
struct CheckPassed {
    static constexpr auto fields = std::tuple<>();
};

// To Describe where the action is granted after all (the set changed meanwhile).
struct Described {
    ActionDescription action;
    static constexpr auto fields = std::tuple(&Described::action);
};

// To Run and Follow: the job runs, or has run. With two descriptors, read-only: its stdout and
// stderr files.
struct JobStarted {
    JobId job;
    // Its standard output goes straight to whoever started it: none of it is in the file.
    bool stdout_not_kept = false;
    // The client of this call gets a descriptor to read standard output from, or to write standard
    // input to: by a HandOver, before anything else.
    bool hands_output = false;
    bool hands_input = false;
    static constexpr auto fields = std::tuple(&JobStarted::job, &JobStarted::stdout_not_kept,
                                              &JobStarted::hands_output, &JobStarted::hands_input);
};

// To HandOver: the client has the reply, and the descriptors with it. (If they could not be sent,
// the job is ended, and Refused ends the call.)
struct HandedOver {
    static constexpr auto fields = std::tuple<>();
};

// There is output past the offsets of the last AwaitOutput. Sent once for each AwaitOutput.
struct JobOutput {
    static constexpr auto fields = std::tuple<>();
};

// The job has ended and writes no more: what its files hold now is all. Ends the call.
struct JobEnded {
    JobResult result;
    static constexpr auto fields = std::tuple(&JobEnded::result);
};

// To Follow where no more is asked for than what is stored: the job has not ended, and what its
// files hold now is all that is wanted. Ends the call.
struct JobStored {
    static constexpr auto fields = std::tuple<>();
};

// To LookUp.
struct JobFound {
    JobView job;
    static constexpr auto fields = std::tuple(&JobFound::job);
};

// To List. With `next`, there may be more, which List gives from there on.
struct JobsListed {
    std::vector<JobView> jobs;
    std::optional<Time> next;
    JobId next_job;
    static constexpr auto fields =
        std::tuple(&JobsListed::jobs, &JobsListed::next, &JobsListed::next_job);
};

// To Cancel: it has ended.
struct JobCancelled {
    JobId job;
    std::string action;
    std::optional<JobResult> result;  // absent: it had not begun, and was not started
    static constexpr auto fields =
        std::tuple(&JobCancelled::job, &JobCancelled::action, &JobCancelled::result);
};

// To Run of a packet, or where nobody waits: the job is recorded, and will be started.
struct Detached {
    JobId job;
    static constexpr auto fields = std::tuple(&Detached::job);
};

// To Manage: any number of reports, then Managed. To CancelAll: a JobReport of each job that is
// cancelled, and Managed when all have ended.
struct StatusReport {
    std::string guard_version;
    std::int32_t pid = 0;
    Time started;
    std::string log_level;
    std::string supervision;  // "systemd", "cgroups", "process groups"
    std::uint32_t jobs = 0;
    std::string record_problem;  // why records are not where they ought to be; empty: they are
    std::string output_problem;  // why what jobs write is not kept, and they wait; empty: it is
    std::string disk_full;       // where, why and what to do; empty: it is not
    static constexpr auto fields = std::tuple(
        &StatusReport::guard_version, &StatusReport::pid, &StatusReport::started,
        &StatusReport::log_level, &StatusReport::supervision, &StatusReport::jobs,
        &StatusReport::record_problem, &StatusReport::output_problem, &StatusReport::disk_full);
};
struct SocketReport {
    std::string path;
    bool administrator = false;
    bool datagram = false;
    static constexpr auto fields =
        std::tuple(&SocketReport::path, &SocketReport::administrator, &SocketReport::datagram);
};
// One identity that there is a session for.
struct CallerReport {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::string unit;  // empty: it makes no difference
    std::int32_t session_pid = 0;
    std::uint32_t connections = 0;
    static constexpr auto fields =
        std::tuple(&CallerReport::uid, &CallerReport::gid, &CallerReport::unit,
                   &CallerReport::session_pid, &CallerReport::connections);
};
struct BadFileReport {
    std::string action;  // empty where a whole folder is at fault
    std::string file;
    std::string message;
    static constexpr auto fields =
        std::tuple(&BadFileReport::action, &BadFileReport::file, &BadFileReport::message);
};
// Of an action that is in force, or of what is not read.
struct WarningReport {
    std::string action;  // empty where it is of none
    std::string message;
    static constexpr auto fields = std::tuple(&WarningReport::action, &WarningReport::message);
};
// What the guard depends on and was taken away from it.
struct ProblemReport {
    std::string about;    // "socket", "state" or "audit"
    std::string message;  // with its path, and what to do
    static constexpr auto fields = std::tuple(&ProblemReport::about, &ProblemReport::message);
};
struct JobReport {
    JobId job;
    std::string action;
    std::uint32_t uid = 0;  // the requester's
    std::int32_t pid = 0;
    std::string unit;  // of systemd's; empty: the guard started it itself
    Time created;
    static constexpr auto fields =
        std::tuple(&JobReport::job, &JobReport::action, &JobReport::uid, &JobReport::pid,
                   &JobReport::unit, &JobReport::created);
};
struct Managed {
    bool done = false;
    std::string message;        // why not
    std::uint32_t actions = 0;  // in force
    static constexpr auto fields = std::tuple(&Managed::done, &Managed::message, &Managed::actions);
};

// To UnitCall.
struct CallerUnit {
    std::string unit;  // empty: not known
    static constexpr auto fields = std::tuple(&CallerUnit::unit);
};

using CallAnswer = std::variant<Refused, CheckPassed, Described, JobStarted, JobOutput, JobEnded,
                                JobFound, Detached, StatusReport, SocketReport, CallerReport,
                                BadFileReport, JobReport, Managed, WarningReport, HandedOver,
                                ProblemReport, JobCancelled, JobStored, JobsListed, CallerUnit>;

}  // namespace postern
