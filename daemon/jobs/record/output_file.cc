#include "daemon/jobs/record/output_file.h"

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

Result<OutputFile> OutputFile::open(int folder, const char* name) {
    UniqueFd file(openat(folder, name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
    if (!file) return fail(std::string(name) + ": " + std::strerror(errno));
    return OutputFile(std::move(file));
}

UniqueFd OutputFile::open_reader() const {
    const std::string path = "/proc/self/fd/" + std::to_string(file_.get());
    return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

std::uint64_t OutputFile::size() const {
    struct stat status{};
    if (fstat(file_.get(), &status) < 0) return 0;
    return static_cast<std::uint64_t>(status.st_size);
}

// By what the file occupies, not by what was freed before: the job may truncate it and begin again.
int OutputFile::trim(std::uint64_t keep) {
    struct stat status{};
    if (fstat(file_.get(), &status) < 0) return errno;
    constexpr std::uint64_t stat_block = 512;  // whatever the file system's own (inode(7))
    const std::uint64_t occupied = static_cast<std::uint64_t>(status.st_blocks) * stat_block;
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (occupied <= keep + keep / 8 || size <= keep) return 0;
    // A file system may reserve blocks beyond the end, and freeing is a modification as well: with
    // nothing new there is nothing to do, else we would wake ourselves for ever.
    if (size == trimmed_size_ && occupied == trimmed_occupied_) return 0;
    // Whole blocks only: a part of one is not freed but zeroed. 4096 suits every file system: where
    // blocks are larger, the last one waits for the next time.
    constexpr std::uint64_t block = 4096;
    const std::uint64_t end = (size - keep) / block * block;
    if (end > 0 && fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                             static_cast<off_t>(end)) < 0) {
        return errno;
    }
    if (fstat(file_.get(), &status) < 0) return errno;
    trimmed_size_ = static_cast<std::uint64_t>(status.st_size);
    trimmed_occupied_ = static_cast<std::uint64_t>(status.st_blocks) * stat_block;
    return 0;
}

void OutputFile::close_to_writing() const {
    // Can't fail for the owner's own file on anything that can be written at all.
    static_cast<void>(fchmod(file_.get(), 0600));
}

}  // namespace postern::jobs
