// The life of jobs.
//
// With systemd as their supervisor: record "starting" written -> admitted (audit) -> systemd asked
// to start a transient unit -> record "running" -> ... -> the unit's final state -> the unit
// stopped with all that is left of it -> record with the result -> ended(). Such a job goes on when
// the guard stops or dies; the next guard takes it up.
//
// Started by the guard itself: record "starting" written -> admitted (audit) -> launcher spawned,
// in a cgroup of its own where there is one -> the launcher says that it has dropped everything ->
// record "running" -> go
// -> exec -> ... -> main process gone -> the rest of its cgroup ended -> files closed to writing ->
// record with the result -> ended().
//
// A job may be followed by any number of calls, from its start or from later on; its output is in
// files, so that each reads it from where it wants. One whose action says "onDisconnect": "kill" is
// ended when nobody follows it any more.
//
// Everything runs in the loop's thread and nothing blocks it. Callbacks come from the loop, never
// from inside start(), follow(), leave(), await_output(), end() or shut_down(). They may call the
// manager, but not destroy it.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <array>
#include <chrono>
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
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"
#include "model/job.h"

namespace postern::jobs {

// How much is kept of jobs that are over; the oldest go. The newest of a uid stays, whatever its
// size.
struct Retention {
    std::size_t records_per_uid = 256;
    std::size_t records = 4096;
    // What the output files of one uid (the requester's) occupy on the disk.
    std::uint64_t output_bytes_per_uid = 1ULL << 30;
};

struct Record;

// Whose job it is: for the record, the job's environment, and for who may follow it later on.
struct Requester {
    uid_t uid = 0;
    gid_t gid = 0;
    pid_t pid = 0;
    std::uint64_t groups = 0;  // JobManager::digest() of them
    bool groups_known = true;  // they are all of them; not so for who sent a packet
    std::optional<std::string> unit = std::nullopt;  // the system's unit, where it was known
    // The caller's own name for the call, by which it finds the job again. Empty: it gave none.
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::string key = {};
};

// Why a job was not started.
struct StartFailure {
    std::string message;  // for the caller: names no program, user or path
    std::string detail;   // for the audit and the administrator
    // The job was not at fault, it never began: the same call may be made again.
    bool again = false;
};

// Who keeps book of a job: told how it came to its end, one of both and once, before its followers.
class Witness {
  public:
    virtual ~Witness() = default;
    virtual void start_failed(const std::string& job, const StartFailure& failure) = 0;
    virtual void ended(const std::string& job, const JobResult& result) = 0;
};

// One who follows a job. Told in this order: started or start_failed; output any number of times;
// ended exactly once after started. After start_failed or ended the manager forgets it.
class Follower {
  public:
    virtual ~Follower() = default;
    // The program runs. Two fresh read-only descriptors of its output files, the follower's own.
    // What was removed from the front to bound the files is a hole in them (lseek(2), SEEK_DATA).
    virtual void started(const std::string& job, UniqueFd stdout_file, UniqueFd stderr_file) = 0;
    virtual void start_failed(const std::string& job, const StartFailure& failure) = 0;
    // A file was written to (or truncated) since the last await_output(), or held more than its
    // offsets already; once for each of those calls.
    virtual void output(const std::string& job) = 0;
    // Nothing of the job runs any more; what the files hold now is all.
    virtual void ended(const std::string& job, const JobResult& result) = 0;
};

// Which of a job's followers; the one that it was started for is the first.
using FollowerId = std::uint64_t;
inline constexpr FollowerId first_follower = 1;

// Who is told of a job when it is started.
struct Audience {
    std::unique_ptr<Witness> witness;
    std::unique_ptr<Follower> follower;  // null where a job is taken up that nobody follows yet
};

// Why somebody follows no more.
enum class Leaving : std::uint8_t {
    gone,         // the client went
    interrupted,  // we broke it off, or a program of ours did: the client may come back
};

struct Settings {
    std::string state_folder;  // absolute; made 0700 where it is missing
    // The private socket of the systemd that supervises jobs. Empty: the guard starts them itself.
    std::string systemd_socket;
    UniqueFd launcher;  // the program postern-launcher, opened when the guard started
    std::chrono::microseconds kill_grace{10'000'000};  // between TERM and KILL
    // How long a launcher may take until its program runs; then it is killed and the start failed.
    std::chrono::microseconds start_patience{10'000'000};
    std::uint64_t stored_output_bytes = 64ULL
                                        << 20;  // of each job's stream, softly: the newest stay
    Retention retention;
    // How long a job that ends with its caller waits for one who was interrupted.
    std::chrono::microseconds return_patience{5'000'000};
    // Soft RLIMIT_NOFILE of jobs: the one that the guard was started with, before it raised its own
    // (select(2) breaks with more than 1024). 0: the guard's present one.
    std::uint64_t job_open_files = 0;
    // The witness of a job that a guard before this one left running.
    std::function<std::unique_ptr<Witness>(const std::string& job, const std::string& action,
                                           const Requester& requester)>
        adopt;
    // Told in words what went wrong beside a job's own story and is for the administrator: a record
    // that can't be read or written, a file system without hole punching. May be empty.
    std::function<void(const std::string& message)> notice;
};

// A job that has not ended.
struct ActiveJob {
    std::string job;
    std::string action;
    Requester requester;
    std::string unit;  // of systemd's; empty: the guard started it itself
    std::uint64_t created_usec = 0;
};

class JobManager {
  public:
    // Makes the folders, connects to systemd or finds a cgroup to put jobs into. Of what a guard
    // that died or stopped left behind, systemd's jobs are taken up; the others are ended and
    // recorded as lost, and `lost` is told (job, action, uid of the requester). May wait some
    // seconds for leftovers to be gone: not for inside the loop. Sets SIGCHLD to its default where
    // a parent left it ignored. Errors: the state folder can't be made or is not safe, another
    // guard uses it, or systemd can't be reached.
    static Result<std::unique_ptr<JobManager>> create(
        sd_event* event, Settings settings,
        const std::function<void(const std::string& job, const std::string& action, uid_t uid)>&
            lost);
    // Kills what the guard started itself; the next create() records it as lost. See shut_down().
    virtual ~JobManager() = default;

    // "systemd", "cgroups", or "process groups": what a job's processes are held together by.
    [[nodiscard]] virtual std::string_view supervision() const = 0;

    // Groups as a record knows them: ascending, each once, the primary one included.
    [[nodiscard]] virtual std::uint64_t digest(std::span<const gid_t> groups) const = 0;

    // Writes the record, asks `admit` with the job's id, and only then starts. Error (nothing was
    // started, no record stays): the record can't be written, it was not admitted, or the manager
    // shuts down. What fails after it was admitted comes as start_failed().
    virtual Result<std::string> start(const policy::Action& action, const policy::Command& command,
                                      const Requester& requester, Audience audience,
                                      const std::function<bool(const std::string& job)>& admit) = 0;

    // The job, running or over, for as long as its record is kept.
    [[nodiscard]] virtual std::optional<Record> find(const std::string& job) const = 0;
    // The jobs that a caller with these ids and groups was given this key for. Error: a record
    // can't be read.
    [[nodiscard]] virtual Result<std::vector<Record>> find_key(const Requester& who) const = 0;
    // The output files of a job that is over, for reading: stdout, stderr.
    [[nodiscard]] virtual Result<std::array<UniqueFd, 2>> open_output(
        const std::string& job) const = 0;

    // One more who follows it. Error: it is over, or no descriptor is to be had.
    virtual Result<FollowerId> follow(const std::string& job,
                                      std::unique_ptr<Follower> follower) = 0;
    // Follows no more, and is forgotten. No effect on a job that is over.
    virtual void leave(const std::string& job, FollowerId follower, Leaving leaving) = 0;

    // All output up to these offsets is read: call output() when there is more, at once if there is
    // (from the loop). No effect on a job that is not running.
    virtual void await_output(const std::string& job, FollowerId follower,
                              std::uint64_t stdout_offset, std::uint64_t stderr_offset) = 0;

    // Ends a job (TERM, after kill_grace KILL, whole cgroup) with this outcome. No effect if it is
    // gone or already being ended. A job that does not run yet is not started: start_failed().
    virtual void end(const std::string& job, Outcome outcome) = 0;

    // Jobs that are not ended yet, of one uid (by requester) and of all.
    [[nodiscard]] virtual std::size_t active(uid_t uid) const = 0;
    [[nodiscard]] virtual std::size_t active() const = 0;
    // All of them, oldest first.
    [[nodiscard]] virtual std::vector<ActiveJob> list() const = 0;

    // Ends as `stopped` all jobs that the guard started itself, and calls `done` (from the loop)
    // when none of them is left. start() fails from now on.
    virtual void shut_down(std::function<void()> done) = 0;

  protected:
    JobManager() = default;

  public:
    JobManager(const JobManager&) = delete;
    JobManager& operator=(const JobManager&) = delete;
};

}  // namespace postern::jobs
