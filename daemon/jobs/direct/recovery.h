// What a guard that died left behind: ended, and recorded as lost.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "daemon/jobs/direct/cgroup.h"
#include "daemon/jobs/record/record_store.h"

namespace postern::jobs {

// Ends the leftovers of these jobs, whose record says that they start or run, and records them as
// lost; tells about each by `lost`. Also whatever else is in this state folder's own cgroup, e.g.
// of a job whose record can't be read. Waits some seconds for them to be gone; tells by `notice`
// what stays.
void recover(RecordStore& store, std::vector<Record> unfinished,
             const std::optional<CgroupPlace>& jobs_cgroup,
             const std::function<void(const Record&)>& lost, const RecordStore::Notice& notice);

}  // namespace postern::jobs
