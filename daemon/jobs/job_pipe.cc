#include "daemon/jobs/job_pipe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace postern::jobs {
namespace {

constexpr mode_t job_reads = 0644;
constexpr mode_t job_writes = 0622;

Unexpected<Error> pipe_failed() {
    return fail(std::string("a pipe for the job: ") + std::strerror(errno));
}

}  // namespace

Result<JobPipe> make_job_pipe(JobEnd of_job) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return pipe_failed();
    JobPipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
    const mode_t mode = of_job == JobEnd::reads ? job_reads : job_writes;
    if (::fchmod(pipe.write_end.get(), mode) != 0) return pipe_failed();
    return pipe;
}

Result<UniqueFd> write_end_again(const UniqueFd& write_end) {
    const std::string path = "/proc/self/fd/" + std::to_string(write_end.get());
    UniqueFd again(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!again) return pipe_failed();
    return again;
}

}  // namespace postern::jobs
