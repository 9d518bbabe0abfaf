// Control groups (version 2): where jobs are put, and how all of one job are ended, whatever they
// did with fork and setsid. No controllers are used, only membership
// (Documentation/admin-guide/cgroup-v2.rst in the kernel).
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "daemon/jobs/direct/processes.h"
#include "model/job.h"

namespace postern::jobs {

// Where in the file system a process's own cgroup is, from the texts of /proc/self/mountinfo and
// /proc/self/cgroup. Absent: no version 2 hierarchy is mounted, or the cgroup is not below what is.
struct CgroupPlace {
    std::string folder;  // e.g. /sys/fs/cgroup/system.slice/posternd.service
    std::string path;    // as /proc/PID/cgroup says, e.g. /system.slice/posternd.service
};
std::optional<CgroupPlace> find_cgroup(std::string_view mountinfo, std::string_view cgroup);

// The folder that all jobs of one state folder are put into: <own cgroup>/postern-jobs-<hash of the
// state folder's path>. Two guards in one cgroup do not meet.
std::string jobs_folder_name(std::string_view state_folder);

// Makes it. Error: why jobs can't have cgroups here (no cgroup2, not root and not delegated, ...).
Result<CgroupPlace> make_jobs_cgroup(std::string_view state_folder);

// Whether this is the path of a cgroup which make_jobs_cgroup() and Cgroup::make() of the same
// state folder could have made for this job, perhaps in an earlier run: the only ones that are
// killed on the word of a record.
bool is_job_cgroup(std::string_view folder, std::string_view state_folder, const JobId& job);

// Kills all in a cgroup and below, waits until they are gone, and removes it. False: not all went
// in that time.
bool end_cgroup(const std::string& folder, std::chrono::milliseconds patience);

class Cgroup final : public Processes {
  public:
    explicit Cgroup(CgroupPlace place) : place_(std::move(place)) {}
    // Removes it if it is empty.
    ~Cgroup() override;
    Cgroup(const Cgroup&) = delete;
    Cgroup& operator=(const Cgroup&) = delete;

    static Result<std::unique_ptr<Cgroup>> make(const CgroupPlace& jobs, const JobId& job);

    [[nodiscard]] const std::string& folder() const { return place_.folder; }

    void set_main(pid_t pid) override { main_ = pid; }
    [[nodiscard]] bool can_reap_main() const override { return true; }
    void terminate(int signal) override;
    bool kill() override;
    [[nodiscard]] bool empty() const override;
    [[nodiscard]] std::size_t count() const override;
    [[nodiscard]] std::string watched_file() const override;
    [[nodiscard]] bool kill_is_certain() const override { return true; }
    void remove() override;

  private:
    CgroupPlace place_;
    pid_t main_ = -1;
    bool removed_ = false;
};

}  // namespace postern::jobs
