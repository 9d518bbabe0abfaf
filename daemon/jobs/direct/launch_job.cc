#include "daemon/jobs/direct/launch_job.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "daemon/jobs/job_command.h"
#include "daemon/launcher/order.h"

namespace postern::jobs {

Result<Launched> launch_job(LauncherStock& stock, const Settings& settings,
                            const policy::Action& action, const policy::Command& command,
                            const Record& record, const JobOutput& output, int program,
                            int stdin_end) {
    launcher::Order order;
    order.uid = action.uid;
    order.gid = action.gid;
    order.groups.assign(action.groups.begin(), action.groups.end());
    order.join_cgroup = !record.cgroup.empty();
    order.open_files = settings.job_open_files;
    order.program = action.program;
    order.working_directory = action.working_directory;
    order.argv = command.argv;
    order.environment = environment_of(action, record);
    POSTERN_TRY(const std::vector<std::uint8_t> bytes, launcher::encode(order));
    POSTERN_TRY(const UniqueFd stdin_file, stdin_of(command, stdin_end));
    UniqueFd procs;
    if (order.join_cgroup) {
        procs.reset(open((record.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
        if (!procs) return fail(record.cgroup + "/cgroup.procs: " + std::strerror(errno));
    }
    const JobFiles files{stdin_file.get(), output.stream(0).write_end.get(),
                         output.stream(1).write_end.get(), program, procs.get()};
    while (auto waiting = stock.take()) {
        if (give_job(*waiting, bytes, files)) return std::move(*waiting);
        // It has died, or there is no memory: then a new one gets none either.
        end_launcher(std::move(*waiting));
    }
    POSTERN_TRY(Launched started, start_launcher(*settings.spawner, settings.launcher.get()));
    if (auto given = give_job(started, bytes, files); !given) {
        end_launcher(std::move(started));
        return Unexpected(std::move(given).error());
    }
    return started;
}

}  // namespace postern::jobs
