#include "daemon/jobs/output/job_streams.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace postern::jobs {
namespace {

Unexpected<Error> failed_stream(const std::string& name) {
    return fail(name + ": " + std::strerror(errno));
}

std::string own_path(const UniqueFd& file) {
    return "/proc/self/fd/" + std::to_string(file.get());
}

}  // namespace

std::uint64_t JobStream::size() const {
    struct stat status{};
    if (fstat(file.get(), &status) < 0) return 0;
    return static_cast<std::uint64_t>(status.st_size);
}

std::uint64_t JobStream::stored() const {
    constexpr std::uint64_t block = 512;  // of st_blocks (stat(3type)); holes take none
    struct stat status{};
    if (fstat(file.get(), &status) < 0) return 0;
    return static_cast<std::uint64_t>(status.st_blocks) * block;
}

bool JobStream::is_drained() const {
    pollfd pipe{read_end.get(), POLLIN, 0};
    return !read_end || (poll(&pipe, 1, 0) >= 0 && (pipe.revents & POLLIN) == 0);
}

Result<UniqueFd> JobStream::open_reader() const {
    UniqueFd reader(::open(own_path(file).c_str(), O_RDONLY | O_CLOEXEC));
    if (!reader) return failed_stream("output");
    return reader;
}

Result<JobStreams> JobStreams::create(int folder, KeeperLink& keeper, bool one_pipe, bool stored) {
    JobStreams made;
    for (std::size_t i = 0; i < stream_count; ++i) {
        JobStream& stream = made.streams[i];
        stream.file.reset(openat(folder, stream_names[i],
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        // fchmod: unlike open(2), it knows no umask.
        if (!stream.file || fchmod(stream.file.get(), 0600) < 0) {
            return failed_stream(stream_names[i]);
        }
        if (!stored && unlinkat(folder, stream_names[i], 0) < 0) {
            return failed_stream(stream_names[i]);
        }
        if (i > 0 && one_pipe) {
            stream.write_end.reset(
                ::open(own_path(made.streams[0].write_end).c_str(), O_WRONLY | O_CLOEXEC));
            if (!stream.write_end) return failed_stream("pipe");
            continue;
        }
        auto pipe = keeper.take_pipe();
        if (!pipe) return fail("no pipe is to be had of postern-output");
        stream.read_end = std::move(pipe->read_end);
        stream.write_end = std::move(pipe->write_end);
    }
    return made;
}

Result<JobStreams> JobStreams::open(int folder) {
    JobStreams opened;
    for (std::size_t i = 0; i < stream_count; ++i) {
        UniqueFd& file = opened.streams[i].file;
        file.reset(openat(folder, stream_names[i], O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
        if (!file && errno != ENOENT) return failed_stream(stream_names[i]);
    }
    return opened;
}

Status JobStreams::leave_sizes(int folder, const std::array<std::uint64_t, stream_count>& sizes) {
    for (std::size_t i = 0; i < stream_count; ++i) {
        const UniqueFd file(
            openat(folder, stream_names[i], O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!file || ftruncate(file.get(), static_cast<off_t>(sizes[i])) < 0) {
            return failed_stream(stream_names[i]);
        }
    }
    return {};
}

Result<std::array<UniqueFd, stream_count>> JobStreams::open_readers(int folder) {
    std::array<UniqueFd, stream_count> readers;
    for (std::size_t i = 0; i < stream_count; ++i) {
        readers[i].reset(openat(folder, stream_names[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
        if (!readers[i]) return failed_stream(stream_names[i]);
    }
    return readers;
}

}  // namespace postern::jobs
