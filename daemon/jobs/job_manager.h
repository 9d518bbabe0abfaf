// The life of jobs.
//
// With systemd as their supervisor: record "starting" written -> admitted (audit) -> systemd asked
// to start a transient unit -> record "running" -> ... -> the unit's final state -> the unit
// stopped with all that is left of it -> record with the result -> ended(). Such a job goes on when
// the guard stops or dies; the next guard resumes it.
//
// Started by the guard itself: record "starting" written -> admitted (audit) -> launcher spawned,
// in a cgroup of its own where there is one -> the launcher says that it has dropped everything ->
// record "running" -> go -> exec -> ... -> main process gone -> the rest of its cgroup ended ->
// record with the result -> ended().
//
// Either ends only when postern-output has moved what is left in the job's pipes to its files:
// before that, nobody is told of the end.
//
// A job may be followed by any number of calls, from its start or from later on; its output is in
// files, so that each reads it from where it wants, and its pipes let it be held back for those who
// follow. One whose action says "onDisconnect": "kill" is ended when nobody follows it any more.
//
// Everything runs in the loop's thread and nothing blocks it. Callbacks come from the loop, never
// from inside start(), follow(), leave(), await_output(), end() or shut_down(). They may call the
// manager, but not destroy it.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/jobs/follower.h"
#include "daemon/jobs/record/cancellation.h"
#include "daemon/jobs/record/job_facts.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/record/requester.h"
#include "daemon/jobs/start_queue.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"
#include "model/job.h"

namespace postern::jobs {

// For the administrator, behind what JobManager::disk_full() says.
inline constexpr std::string_view full_disk_advice =
    "make room on that file system: no job is started before";

// A job that has not ended.
struct ActiveJob {
    JobId job;
    std::string action;
    Requester requester;
    std::string unit;  // of systemd's; empty: the guard started it itself
    Time created;
};

// Why a job is not found.
enum class NotFound : std::uint8_t {
    no_such_job,
    unreadable,  // there is one, but its record can't be read
};

class JobManager {
  public:
    // Kills what the guard started itself; the next guard records it as lost. See shut_down().
    virtual ~JobManager() = default;

    // "systemd", "cgroups", or "process groups": what a job's processes are held together by.
    [[nodiscard]] virtual std::string_view supervision() const = 0;

    // Groups as a record knows them: ascending, each once, the primary one included.
    [[nodiscard]] virtual std::uint64_t digest(std::span<const gid_t> groups) const = 0;
    // Bytes as a record knows them, under the same key.
    [[nodiscard]] virtual std::uint64_t digest(std::span<const std::uint8_t> bytes) const = 0;

    // Writes the record, asks `admit` with the job's id, and only then starts. The place is held
    // until the program runs or never will. Null where nobody follows from its start. Error
    // (nothing was started, no record stays): the record can't be written, it was not admitted, or
    // the manager shuts down. What fails after it was admitted comes as start_failed().
    virtual Result<JobId> start(const policy::Action& action, const policy::Command& command,
                                const Requester& requester, StartPlace place,
                                std::unique_ptr<Follower> follower,
                                const std::function<bool(const JobId& job)>& admit) = 0;

    // The job, running or over, for as long as its record is kept. Of one that is over it is read
    // from its file.
    [[nodiscard]] virtual Result<Record, NotFound> find(const JobId& job) const = 0;
    // Those that are asked for, running or over, from memory.
    [[nodiscard]] virtual JobPage page(const JobQuery& query) const = 0;
    // Of the job's stdout and stderr. Absent: its file can't be read.
    [[nodiscard]] virtual std::array<std::optional<StreamSizes>, 2> output_sizes(
        const JobId& job) const = 0;
    // The jobs that a caller with these ids and groups was given this key for. Error: a record
    // can't be read.
    [[nodiscard]] virtual Result<std::vector<Record>> find_key(const Requester& who) const = 0;
    // The output files of a job that is over, for reading: stdout, stderr.
    [[nodiscard]] virtual Result<std::array<UniqueFd, 2>> open_output(const JobId& job) const = 0;

    // One more who follows it. Error: it is over, or no descriptor is to be had.
    virtual Result<FollowerId> follow(const JobId& job, std::unique_ptr<Follower> follower) = 0;
    // Follows no more, and is forgotten. No effect on a job that is over.
    virtual void leave(const JobId& job, FollowerId follower, Leaving leaving) = 0;

    // All output up to these offsets is read: call output() when there is more, at once if there is
    // (from the loop). No effect on a job that is not running.
    virtual void await_output(const JobId& job, FollowerId follower, std::uint64_t stdout_offset,
                              std::uint64_t stderr_offset) = 0;

    // How far its client has each stream; not_awaited: it wants no more of it. The job is held back
    // once it is a window ahead of that (limits::follower_window_bytes). No effect on a job that is
    // over. False: less than before, or more than there is.
    virtual bool taken(const JobId& job, FollowerId follower, std::uint64_t stdout_offset,
                       std::uint64_t stderr_offset) = 0;

    // Ends a job (TERM, after kill_grace KILL, whole cgroup) with this outcome. No effect if it is
    // gone or already being ended. A job that does not run yet is not started: start_failed().
    virtual void end(const JobId& job, Outcome outcome) = 0;
    // Ends it because somebody asks for that: as end(), but with a signal of choice instead of
    // TERM, or with KILL at once. Its outcome is what becomes of its process, and its result says
    // who. May be said again, in another way: who said so first stays, and so does the time until
    // KILL; each signal is sent once, and none after KILL. One that is being ended for another
    // reason keeps that for its outcome. Absent: nothing of it runs.
    virtual std::optional<Cancelled> cancel(const JobId& job, const Cancellation& how) = 0;

    // Closes ends of a job's pipes that perhaps nobody but the guard has any more, and does not
    // wait for whoever writes into such a pipe.
    virtual void close_pipes(std::vector<UniqueFd> ends) = 0;

    // Whether one more key of this payer can be remembered for as long as it must be.
    virtual bool has_room_for_key(uid_t payer) = 0;

    // Whether a start has to wait for room on the disk: ended jobs are being removed for it.
    virtual bool makes_room() = 0;
    // Why no job can be started or stored for want of room. Empty: there is room.
    virtual std::string disk_full() = 0;

    // Why no job can be recorded: its directory was removed or replaced and can't be made again, or
    // nothing can be written there; and what to do. Makes it again where that is all. Empty: it
    // can.
    virtual std::string state_problem() = 0;

    // Why records are not where they ought to be. Empty: they are.
    [[nodiscard]] virtual std::string record_problem() const = 0;

    // Whether a job can be started. If not, start() fails; Settings::ready is called once it can.
    [[nodiscard]] virtual bool ready() const = 0;
    // Why what jobs write is not moved out of their pipes, so that they wait. Empty: it is.
    [[nodiscard]] virtual std::string output_problem() const = 0;

    // Jobs that are not ended yet, of one payer (by requester) and of all.
    [[nodiscard]] virtual std::size_t active(uid_t payer) const = 0;
    [[nodiscard]] virtual std::size_t active() const = 0;
    // How many of these a guard before left, and are not known to run: of one payer, or of all.
    [[nodiscard]] virtual std::size_t unproven(std::optional<uid_t> /*payer*/) const { return 0; }
    // Whether it is known of each of them by now.
    [[nodiscard]] virtual bool settled() const { return true; }
    // All of them, oldest first.
    [[nodiscard]] virtual std::vector<ActiveJob> list() const = 0;

    // Ends as `stopped` all jobs that the guard started itself, and calls `done` (from the loop)
    // when none of them is left. start() fails from now on.
    virtual void shut_down(std::function<void()> done) = 0;
    // These are loaded from now on. What waits for jobs (unit/spares.h) waits for theirs.
    virtual void actions_changed(const policy::SnapshotPtr& /*actions*/) {}

  protected:
    JobManager() = default;

  public:
    JobManager(const JobManager&) = delete;
    JobManager& operator=(const JobManager&) = delete;
};

}  // namespace postern::jobs
