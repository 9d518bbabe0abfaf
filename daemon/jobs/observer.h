// Keeps account of all jobs, whether or not anybody follows them.
#pragma once

#include <string>
#include <string_view>

#include "daemon/jobs/record/record.h"
#include "daemon/jobs/start_failure.h"
#include "model/job.h"

namespace postern::jobs {

class Observer {
  public:
    virtual ~Observer() = default;
    Observer(const Observer&) = delete;
    Observer& operator=(const Observer&) = delete;

    // A guard before this one left it running, and it goes on under this one.
    virtual void resumed(const Record& job) = 0;
    // The guard that had started it itself died. Told while this guard starts, of a job that it
    // otherwise never had.
    virtual void lost(const Record& job) = 0;

    // How a job that was admitted or resumed came to its end: one of both and once, before its
    // followers are told. The observer may call the manager.
    virtual void start_failed(const Record& job, const StartFailure& failure) = 0;
    virtual void ended(const Record& job) = 0;  // `result` is how

    // An ended job was removed: its output, and its record unless its key is young. `for_room`: for
    // other users' jobs, and not for newer ones of the same user.
    virtual void evicted(const Record& job, const std::string& why, bool for_room) = 0;
    // Nothing can be written below this path, and removing ended jobs would not free enough; and:
    // it can be written again.
    virtual void disk_full(const std::string& path, const std::string& why) = 0;
    virtual void disk_has_room(const std::string& path) = 0;

    // A step in its life, for who looks for a mistake. Must not call the manager.
    virtual void moved(const JobId& job, std::string_view from, std::string_view to) = 0;

  protected:
    Observer() = default;
};

}  // namespace postern::jobs
