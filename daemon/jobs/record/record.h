// A job's record: what is known about it, on disk before it starts and after it has ended.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/jobs/record/cancellation.h"
#include "daemon/jobs/record/requester.h"
#include "model/job.h"

namespace postern::jobs {

enum class RecordState : std::uint8_t {
    starting,  // the program was not run
    running,   // it was, or is about to be
    ended,     // `result` is how
    failed,    // it could not be started; `message` says why
    lost,      // the guard died meanwhile
};

struct Record {
    JobId job;
    std::string action;
    RecordState state = RecordState::starting;
    std::string boot;  // boot id of the start
    Requester requester;
    uid_t uid = 0;  // whom it runs as
    gid_t gid = 0;
    std::string file_version;  // policy::Action::version, of the start; empty: not known
    // As policy::Command::shown: without secrets; and its lists. Versions before this one wrote
    // none.
    std::vector<std::pair<std::string, std::string>> arguments;
    std::vector<std::string> lists;
    Time created;
    // Of the main process, from state `running` on; start in clock ticks after boot.
    pid_t pid = 0;
    std::uint64_t pid_start = 0;
    std::string cgroup;  // its folder; empty: it has none
    std::string unit;    // its name, where systemd supervises the job; else empty
    // How many pipes its streams have: 1 if both share one. 0: it writes to its files itself
    // (version 0.1.0). All are kept, except standard output's if that goes straight.
    std::uint32_t pipes = 0;
    std::uint64_t stored_output = 0;  // bytes to be kept of each stream, where it has pipes
    bool kill_on_disconnect = false;
    bool stdout_not_kept = false;  // its pipe goes straight to whoever started it
    // Its unit waited for it (unit/spares.h), with a launcher in the place of its program. systemd
    // then gives it longer than its action does: it is for the guard to end it in time.
    bool spare = false;
    std::chrono::microseconds timeout{};  // 0: none. With `spare` alone.
    // When it was started a rule of its action named a unit: it is of callers of its requester's
    // alone, whatever becomes of the action. False where a version before this one wrote the
    // record.
    bool unit_counts = false;
    // Why we are ending it, if we are.
    std::optional<Outcome> ending;
    // Who has cancelled it first, and the last word of how.
    std::optional<Cancellation> cancelling;
    JobResult result;
    // While it is `running`: its main process has ended and `result` says how, but what else it
    // started may not have.
    bool result_known = false;
    std::string message;
    // What its caller was told, where it could not be started; and as StartFailure::again.
    std::string told;
    bool again = false;
};

// Whether it is over: `ended`, `failed` or `lost`.
bool is_over(RecordState state);

// Whether nothing of its output is to be kept once it is over.
bool keeps_nothing(const Record& record);

std::string_view name_of(Outcome outcome);

// Whose a job is, as far as that decides what a key stands for: uid, gid, groups and whether they
// are all known, key.
using Owner = std::tuple<uid_t, gid_t, std::uint64_t, bool, std::string>;
Owner owner_of(const Requester& requester);

std::string to_json(const Record& record);
// Error: what is wrong with it. Members that are not known are passed over: a later version may
// have written it.
Result<Record> from_json(std::string_view text);

}  // namespace postern::jobs
