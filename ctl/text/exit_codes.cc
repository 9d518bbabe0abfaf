#include "ctl/text/exit_codes.h"

#include <array>

#include "ctl/text/job_end.h"

namespace postern::ctl {
namespace {

struct ErrorRow {
    std::string_view error;
    int code;
};

// What is not here is a misunderstanding between this client and the daemon.
constexpr std::array error_rows = {
    ErrorRow{"org.postern.Actions.NotGranted", exit_code::not_granted},
    ErrorRow{"org.postern.Actions.InvalidArgument", exit_code::invalid},
    ErrorRow{"org.postern.Actions.InvalidMessage", exit_code::invalid},
    ErrorRow{"org.postern.Actions.NotByDatagram", exit_code::invalid},
    ErrorRow{"org.postern.Actions.NotDetachable", exit_code::invalid},
    ErrorRow{"org.postern.Actions.LimitReached", exit_code::limit},
    ErrorRow{"org.postern.Actions.Unavailable", exit_code::limit},
    ErrorRow{"org.postern.Actions.StartFailed", exit_code::not_started},
    ErrorRow{"org.postern.Actions.KeyInUse", exit_code::invalid},
    ErrorRow{"org.postern.Jobs.NoSuchJob", exit_code::not_granted},
    ErrorRow{"org.postern.Jobs.JobEnded", exit_code::invalid},
    ErrorRow{"org.postern.Jobs.InvalidSignal", exit_code::invalid},
    ErrorRow{"org.postern.Jobs.AmbiguousJob", exit_code::invalid},
    ErrorRow{"org.varlink.service.InvalidParameter", exit_code::invalid},
    ErrorRow{"org.varlink.service.ExpectedMore", exit_code::invalid},
    ErrorRow{"org.varlink.service.PermissionDenied", exit_code::not_granted},
};

}  // namespace

int exit_code_of_signal(int signal) {
    return exit_code::signal_base + signal;
}

int exit_code_of_error(std::string_view error) {
    for (const auto& row : error_rows) {
        if (row.error == error) return row.code;
    }
    return exit_code::broken;
}

int exit_code_of_job(const JobEnd& end) {
    if (end.outcome == "timeout") return exit_code::timeout;
    if (end.outcome == "lost") return exit_code::broken;
    if (end.outcome == "exited" && end.exit_code) return *end.exit_code;
    // signaled, disconnected, stopped, out-of-memory
    if (end.signal) return exit_code::signal_base + *end.signal;
    return exit_code::broken;
}

}  // namespace postern::ctl
