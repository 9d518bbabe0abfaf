#include "daemon/jobs/record/job_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"

namespace postern::jobs {
namespace {

constexpr const char* new_record_name = "record.json.new";

bool put_over(int folder, std::string_view text, bool synchronize) {
    const UniqueFd file(openat(folder, record_name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    return file && write_all(file.get(), text) &&
           ftruncate(file.get(), static_cast<off_t>(text.size())) == 0 &&
           (!synchronize || fsync(file.get()) == 0);
}

std::uint64_t blocks_of(int jobs, const std::string& path) {
    constexpr std::uint64_t block = 512;  // of st_blocks, whatever the file system's own (inode(7))
    struct stat status{};
    if (fstatat(jobs, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) return 0;
    return static_cast<std::uint64_t>(status.st_blocks) * block;
}

}  // namespace

UniqueFd open_job_folder(int jobs, const JobId& job) {
    return UniqueFd(
        openat(jobs, job.text().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

int replace_file(int folder, const std::string& name, const std::string& new_name,
                 std::string_view text, bool synchronize) {
    const UniqueFd file(openat(folder, new_name.c_str(),
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file || !write_all(file.get(), text) || (synchronize && fsync(file.get()) < 0) ||
        renameat(folder, new_name.c_str(), folder, name.c_str()) < 0) {
        const int error = errno;
        unlinkat(folder, new_name.c_str(), 0);
        return error;
    }
    return synchronize && fsync(folder) < 0 ? errno : 0;
}

int put_record(int jobs, const JobId& job, std::string_view text, bool last, bool synchronize) {
    const UniqueFd folder = open_job_folder(jobs, job);
    if (!folder) return errno;
    const int error = replace_file(folder.get(), record_name, new_record_name, text, synchronize);
    return error != 0 && last && put_over(folder.get(), text, synchronize) ? 0 : error;
}

int remove_job_folder(int jobs, const JobId& job) {
    const UniqueFd folder = open_job_folder(jobs, job);
    if (!folder) return errno == ENOENT ? 0 : errno;
    // The record first: where a guard dies in between, the next one takes what has none away.
    for (const char* name : {record_name, new_record_name, bad_record_name}) {
        unlinkat(folder.get(), name, 0);
    }
    empty_output(folder.get());
    for (const char* name : output_names) unlinkat(folder.get(), name, 0);
    return unlinkat(jobs, job.text().c_str(), AT_REMOVEDIR) < 0 ? errno : 0;
}

void empty_output(int folder) {
    for (const char* name : output_names) {
        const UniqueFd file(openat(folder, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
        struct stat status{};
        if (!file || fstat(file.get(), &status) < 0 || !S_ISREG(status.st_mode)) continue;
        // With a hole the file is not shorter even for a moment. Not every file system has any, and
        // of a block that reaches beyond it nothing is freed: it ends with a whole one.
        constexpr std::uint64_t block = std::uint64_t{64} * 1024;
        const auto size = static_cast<std::uint64_t>(status.st_size);
        const auto end = static_cast<off_t>((size + block - 1) / block * block);
        if (end > 0 &&
            fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end) < 0) {
            (void)!ftruncate(file.get(), 0);
        }
        // Frees what is reserved beyond the end as well.
        (void)!ftruncate(file.get(), status.st_size);
    }
}

// A lease for writing is given only where nobody else has the file open (fcntl(2)). It is given
// back at once; who opens the file in between, a backup of root's, waits for that. The signal that
// says so is ignored (main.cc).
bool is_output_open(int jobs, const JobId& job) {
    const UniqueFd folder = open_job_folder(jobs, job);
    return std::ranges::any_of(output_names, [&folder](const char* name) {
        const UniqueFd file(openat(folder.get(), name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
        if (!file) return false;
        if (fcntl(file.get(), F_SETLEASE, F_WRLCK) < 0) return errno == EAGAIN;
        fcntl(file.get(), F_SETLEASE, F_UNLCK);
        return false;
    });
}

Occupied occupied_by(int jobs, const JobId& job, std::uint64_t record_bytes) {
    constexpr std::uint64_t page = 4096;
    Occupied occupied;
    for (const char* name : output_names) {
        occupied.output += blocks_of(jobs, job.text() + "/" + name);
    }
    const std::uint64_t on_disk = blocks_of(jobs, job.text() + "/" + record_name);
    occupied.rest =
        std::max(on_disk, (record_bytes + page - 1) / page * page) + blocks_of(jobs, job.text());
    return occupied;
}

}  // namespace postern::jobs
