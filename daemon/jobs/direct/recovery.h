// What a guard that died left behind: ended, and recorded as lost.
#pragma once

#include <optional>
#include <vector>

#include "daemon/jobs/direct/cgroup.h"
#include "daemon/jobs/observer.h"
#include "daemon/jobs/record/record_store.h"

namespace postern::jobs {

// Ends the leftovers of these jobs, whose record says that they start or run, and records them as
// lost; tells the observer of each. Also whatever else is in this state folder's own cgroup, e.g.
// of a job whose record can't be read. Waits some seconds for them to be gone; tells by `notice`
// what stays.
void recover(RecordStore& store, std::vector<Record> unfinished,
             const std::optional<CgroupPlace>& jobs_cgroup, Observer& observer,
             const RecordStore::Notice& notice);

}  // namespace postern::jobs
