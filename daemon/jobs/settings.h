// What the guard sets for its jobs.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/limits.h"
#include "base/unique_fd.h"
#include "daemon/jobs/output/keeper_link.h"
#include "daemon/jobs/record/retention.h"
#include "daemon/loop/spawner.h"

namespace postern::jobs {

struct Settings {
    std::string state_folder;  // absolute; made 0700 where it is missing
    // On a tmpfs, for records that are not on the disk yet. Empty: there is none.
    std::string runtime_folder;
    // The private socket of the systemd that supervises jobs. Empty: the guard starts them itself.
    std::string systemd_socket;
    // How many units may wait for jobs that are to come (unit/spares.h). 0: none.
    std::uint64_t spares = 0;
    // How long one waits that was made after a run.
    std::chrono::microseconds spare_life = limits::spare_life;
    // Where the cgroups of systemd's units are (cgroup2).
    std::string cgroup_root = "/sys/fs/cgroup";
    std::string proc_root = "/proc";
    Spawner* spawner = nullptr;  // outlives all jobs
    UniqueFd launcher;           // the program postern-launcher, opened when the guard started
    // How many of them may wait for a job, and how long after the last one they do.
    std::size_t launchers_waiting = limits::launchers_waiting;
    std::chrono::microseconds launcher_wait = limits::launcher_wait;
    std::chrono::microseconds kill_grace = std::chrono::seconds(10);  // between TERM and KILL
    // How long a launcher may take until its program runs; then it is killed and the start failed.
    std::chrono::microseconds start_patience = std::chrono::seconds(10);
    // Connects to postern-output; called again whenever the connection is lost.
    KeeperLink::Connect connect_keeper;
    // Closes the guard's ends of a job's pipes in another process, because whoever else has such a
    // pipe can make the close wait. Empty: they are closed here.
    std::function<void(std::vector<UniqueFd> ends)> close_pipes;
    // A follower that takes nothing for so long, though there is something to take, no longer holds
    // its job back.
    std::chrono::microseconds follower_stall = std::chrono::minutes(1);
    // Called when JobManager::ready() becomes true. May be empty.
    std::function<void()> ready;
    // Bytes that are stored of each stream of a job whose action does not say otherwise: the
    // newest.
    std::uint64_t stored_output_bytes = 64ULL << 20;
    Retention retention;
    // How long a job that ends with its caller waits for one who was interrupted.
    std::chrono::microseconds return_patience = std::chrono::seconds(5);
    // Soft RLIMIT_NOFILE of jobs: the one that the guard was started with, before it raised its own
    // (select(2) breaks with more than 1024). 0: the guard's present one.
    std::uint64_t job_open_files = 0;
    // Told in words what went wrong beside a job's own story and is for the administrator: a record
    // that can't be read or written, a file system without hole punching. May be empty.
    std::function<void(const std::string& message)> notice;
};

}  // namespace postern::jobs
