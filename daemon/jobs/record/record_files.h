// The record of each job as a file, and the only one who knows where it lies.
//
// On the disk: STATE/jobs/<job>/record.json. Where there is a runtime directory, in memory (on a
// tmpfs), a record is written there, RUNTIME/<job>.json, and no start waits for a disk. A thread
// copies it to the disk, synchronized, and takes it away: what lies there is newer than what is on
// the disk, for as long as it does. A guard that dies finds it again; a power cut in that moment
// loses it. That a job begins, and how it ended, is copied at once; what comes between within a
// second, since after a power cut the job is lost in any case.
//
// What can't be copied is kept, and tried again until it can. The same thread frees what is no
// longer kept, also where there is no runtime directory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/jobs/record/job_key.h"
#include "model/job.h"

namespace postern::jobs {

struct RecordThread;

class RecordFiles {
  public:
    // Told in words what the administrator is to know, by the thread that calls. May be empty.
    using Notice = std::function<void(const std::string&)>;

    // `jobs`, at this path, has a folder for each job. `runtime`: empty where there is none; what
    // a guard before left in it is taken up. Error: that one is not safe or is another guard's, or
    // no thread or descriptor is to be had.
    static Result<std::unique_ptr<RecordFiles>> open(UniqueFd jobs, const std::string& jobs_path,
                                                     const std::string& runtime, Notice notice);
    // Waits some seconds until all is on the disk.
    ~RecordFiles();
    RecordFiles(const RecordFiles&) = delete;
    RecordFiles& operator=(const RecordFiles&) = delete;

    // From now on `jobs`, and all that waits to be copied goes there: the one before was removed.
    // Error: errno.
    Result<void, int> move_to(int jobs);

    // All that have a folder.
    [[nodiscard]] std::vector<JobKey> jobs() const;
    // The newest record of a job. Error: errno; ENOENT also where the name is none of ours.
    [[nodiscard]] Result<std::string, int> read(const JobId& job) const;
    // Whether so many records wait to be copied that no more may come. Error: why.
    [[nodiscard]] Status keeps_up() const;
    // `first`: whatever is the first of it in this directory. `last`: on a full disk it is put over
    // the old one's own block.
    enum class Step : std::uint8_t { first, between, last };
    // Puts the record in the place of the one before, whole; a guard that is killed then loses
    // nothing. Error: why not; then the one before is still there.
    Status write(const JobId& job, std::string text, Step step);
    // As write(), and frees what the job's output occupies, whoever reads it. An empty text: only
    // frees.
    void reduce(const JobId& job, std::string text);
    // The folder of the job with all that a guard has made in it, after what is still to be copied
    // to it. A folder that stays is told.
    void remove(const JobId& job);
    // Whether some of that is still to be done, so that there will be more room afterwards.
    [[nodiscard]] bool frees() const;

    // Whether a record could not be written for want of room since this was last asked.
    [[nodiscard]] bool wanted_room();
    // From now on looks for room for the start of a job, twice a second, until there is.
    void look_for_room();
    // Whether it was found since this was last asked.
    [[nodiscard]] bool found_room();

    // Readable when there is something to tell, or one of these answers has changed.
    [[nodiscard]] int news() const;
    // Tells what went wrong, or right again, since.
    void tell_news();
    // Why records are not where they ought to be, for as long as that lasts. Empty: they are.
    [[nodiscard]] std::string problem() const;

  private:
    RecordFiles(std::shared_ptr<RecordThread> state, Notice notice);
    Status open_runtime(const std::string& runtime);
    void take_up();
    void notice(const std::string& message) const;

    std::shared_ptr<RecordThread> state_;
    Notice notice_;
    std::thread thread_;
};

}  // namespace postern::jobs
