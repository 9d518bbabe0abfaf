#include "daemon/jobs/direct/launch_job.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "daemon/jobs/job_command.h"
#include "daemon/launcher/order.h"
#include "host/memory_file.h"

namespace postern::jobs {

Result<Launched> launch_job(const Settings& settings, const policy::Action& action,
                            const policy::Command& command, const Record& record,
                            const JobOutput& output, int program, int stdin_end) {
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
    POSTERN_TRY(const UniqueFd order_file, sealed_file("postern-order", bytes));
    POSTERN_TRY(const UniqueFd stdin_file, stdin_of(command, stdin_end));
    UniqueFd procs;
    if (order.join_cgroup) {
        procs.reset(open((record.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
        if (!procs) return fail(record.cgroup + "/cgroup.procs: " + std::strerror(errno));
    }
    return launch(*settings.spawner,
                  {settings.launcher.get(), stdin_file.get(), output.stream(0).write_end.get(),
                   output.stream(1).write_end.get(), order_file.get(), program, procs.get()});
}

}  // namespace postern::jobs
