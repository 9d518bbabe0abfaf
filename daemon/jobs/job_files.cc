#include "daemon/jobs/job_files.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace postern::jobs {
namespace {

Result<JobFiles> with_readers(Result<OutputFile> out, Result<OutputFile> err) {
    if (!out) return Unexpected(std::move(out).error());
    if (!err) return Unexpected(std::move(err).error());
    JobFiles files{{std::move(*out), std::move(*err)}, {}};
    for (std::size_t stream = 0; stream < files.output.size(); ++stream) {
        files.readers[stream] = files.output[stream].open_reader();
        if (!files.readers[stream]) return fail(std::string("output: ") + std::strerror(errno));
    }
    return files;
}

}  // namespace

Result<JobFiles> JobFiles::create(int folder) {
    return with_readers(OutputFile::create(folder, "stdout"), OutputFile::create(folder, "stderr"));
}

Result<JobFiles> JobFiles::open(int folder) {
    return with_readers(OutputFile::open(folder, "stdout"), OutputFile::open(folder, "stderr"));
}

}  // namespace postern::jobs
