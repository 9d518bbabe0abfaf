#include "daemon/jobs/output/job_streams.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "daemon/output/stored_file.h"

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

void JobStream::trim(std::uint64_t keep) const {
    const std::uint64_t bytes = size();
    if (bytes > keep) static_cast<void>(output::free_front(file.get(), bytes - keep));
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

Result<JobStreams> JobStreams::create(int folder, KeeperLink& keeper, bool one_pipe) {
    JobStreams made;
    for (std::size_t i = 0; i < stream_count; ++i) {
        JobStream& stream = made.streams[i];
        stream.file.reset(openat(folder, stream_names[i],
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!stream.file) return failed_stream(stream_names[i]);
        if (i > 0 && one_pipe) {
            stream.write_end.reset(
                ::open(own_path(made.streams[0].write_end).c_str(), O_WRONLY | O_CLOEXEC));
            if (!stream.write_end) return failed_stream("pipe");
            continue;
        }
        auto pipe = keeper.take_pipe();
        if (!pipe) return fail("postern-output has no pipe ready");
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

Result<std::array<UniqueFd, stream_count>> JobStreams::open_readers(int folder) {
    std::array<UniqueFd, stream_count> readers;
    for (std::size_t i = 0; i < stream_count; ++i) {
        readers[i].reset(openat(folder, stream_names[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
        if (!readers[i]) return failed_stream(stream_names[i]);
    }
    return readers;
}

}  // namespace postern::jobs
