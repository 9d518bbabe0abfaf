#include "daemon/jobs/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace postern::jobs {

Result<OutputFile> OutputFile::create(int folder, const char* name) {
    constexpr mode_t while_it_runs = 0622;
    UniqueFd file(openat(folder, name,
                         O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    // fchmod: unlike open(2), it knows no umask.
    if (!file || fchmod(file.get(), while_it_runs) < 0) {
        return fail(std::string(name) + ": " + std::strerror(errno));
    }
    return OutputFile(std::move(file));
}

UniqueFd OutputFile::open_reader() const {
    const std::string path = "/proc/self/fd/" + std::to_string(file_.get());
    return UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

std::uint64_t OutputFile::size() const {
    struct stat status {};
    if (fstat(file_.get(), &status) < 0) return 0;
    return static_cast<std::uint64_t>(status.st_size);
}

int OutputFile::trim(std::uint64_t keep) {
    const std::uint64_t stored_to = size();
    if (stored_to < freed_) freed_ = 0;  // the job truncated it
    if (stored_to - freed_ <= keep + keep / 8) return 0;
    // Whole blocks only: a part of one is not freed but zeroed. 4096 suits every file system: where
    // blocks are larger, the last one waits for the next time.
    constexpr std::uint64_t block = 4096;
    const std::uint64_t end = (stored_to - keep) / block * block;
    if (end <= freed_) return 0;
    if (fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(freed_), static_cast<off_t>(end - freed_)) < 0) {
        return errno;
    }
    freed_ = end;
    return 0;
}

void OutputFile::close_to_writing() const {
    // Can't fail for the owner's own file on anything that can be written at all.
    static_cast<void>(fchmod(file_.get(), 0600));
}

}  // namespace postern::jobs
