#include "daemon/jobs/unit/unit_result.h"

#include <array>
#include <chrono>
#include <csignal>
#include <string>
#include <string_view>

#include "daemon/launcher/spare_order.h"

namespace postern::jobs {
namespace {

// With these codes systemd ends a process that it could not bring to its exec (systemd.exec(5),
// PROCESS EXIT CODES).
struct SetUpStep {
    std::int32_t status;
    std::string_view name;
    std::string_view failed;
};
constexpr std::int32_t first_set_up_status = 200;
constexpr std::int32_t last_set_up_status = 245;
constexpr std::array<SetUpStep, 22> set_up_steps = {{
    {200, "CHDIR", "its working directory can't be entered"},
    {201, "NICE", "its niceness can't be set"},
    {202, "FDS", "its descriptors can't be set up"},
    {203, "EXEC", "its program can't be executed"},
    {204, "MEMORY", "there is not enough memory"},
    {205, "LIMITS", "its resource limits can't be set"},
    {206, "OOM_ADJUST", "its OOMScoreAdjust can't be set"},
    {208, "STDIN", "its standard input can't be set up"},
    {209, "STDOUT", "its standard output can't be set up"},
    {210, "CHROOT", "its root directory can't be entered"},
    {214, "SETSCHEDULER", "its CPU scheduling can't be set"},
    {215, "CPUAFFINITY", "its CPU affinity can't be set"},
    {216, "GROUP", "its group or groups can't be set"},
    {217, "USER", "its user can't be set"},
    {218, "CAPABILITIES", "its capabilities can't be set"},
    {222, "STDERR", "its standard error can't be set up"},
    {225, "NETWORK", "its network namespace can't be set up"},
    {226, "NAMESPACE", "its file system namespace can't be set up"},
    {227, "NO_NEW_PRIVILEGES", "NoNewPrivileges can't be set"},
    {228, "SECCOMP", "its system call filter can't be set"},
    {238, "STATE_DIRECTORY", "its state directory can't be set up"},
    {243, "CREDENTIALS", "its credentials can't be set up"},
}};

}  // namespace

bool was_executed(const UnitState& state) {
    if (state.active_since.count() != 0) return true;
    if (state.main_code == 0) return false;
    // Since 256 systemd tells of the moment before execve(2), and there it sees that a program was
    // executed before it sees its end: what has only come to that moment could not be executed.
    constexpr std::int32_t exec_failed = 203;
    if (state.executed.count() != 0) {
        return state.main_code != CLD_EXITED || state.main_status != exec_failed;
    }
    // It ended before systemd looked; systemd's own codes are all that tell.
    return state.main_code != CLD_EXITED || state.main_status < first_set_up_status ||
           state.main_status > last_set_up_status;
}

bool was_never_ordered(const UnitState& state) {
    return state.main_code == CLD_KILLED && state.main_status == launcher::leaving_signal();
}

StartFailure start_failure(const UnitState& state, const std::string& unit) {
    const std::string cannot = "the program could not be started: ";
    const std::string more = "; journalctl -u " + unit + " tells more";
    if (state.main_code == 0) {
        return {cannot + "systemd could not run its unit",
                cannot + "systemd could not run its unit (" + state.result + ")" + more};
    }
    std::string what = "systemd could not set it up";
    std::string code = std::to_string(state.main_status);
    for (const SetUpStep& step : set_up_steps) {
        if (step.status != state.main_status) continue;
        what = step.failed;
        code += '/' + std::string(step.name);
    }
    return {cannot + what, cannot + what + " (" + code + ")" + more};
}

JobResult result_of(const UnitState& state, std::optional<Outcome> cause) {
    JobResult result;
    result.by_signal = state.main_code == CLD_KILLED || state.main_code == CLD_DUMPED;
    result.status = state.main_status;
    result.started = state.main_started;
    if (state.usage.cpu) {
        result.cpu = std::chrono::floor<std::chrono::microseconds>(*state.usage.cpu);
    }
    result.max_resident_kib = state.usage.memory_peak_bytes.value_or(0) / 1024;
    if (cause) {
        result.outcome = *cause;
    } else if (state.result == "timeout") {
        result.outcome = Outcome::timeout;
    } else if (state.result == "oom-kill") {
        result.outcome = Outcome::out_of_memory;
    } else if (state.main_code == 0) {
        result.outcome =
            Outcome::lost;  // nobody has seen how: never to be taken for an exit with 0
    } else {
        result.outcome = result.by_signal ? Outcome::signaled : Outcome::exited;
    }
    if (result.outcome != Outcome::exited && !result.by_signal) result.status = 0;
    return result;
}

}  // namespace postern::jobs
