#include "host/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "base/io.h"

// glibc before 2.39 does not know it, nor kernels before 6.3.
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace postern {
namespace {

Unexpected<Error> failed(const char* what, int error) {
    return fail(std::string(what) + ": " + std::strerror(error));
}

}  // namespace

Result<UniqueFd> sealed_file(const char* name, std::span<const std::uint8_t> bytes) {
    constexpr unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    UniqueFd file(memfd_create(name, flags | MFD_NOEXEC_SEAL));
    if (!file && errno == EINVAL) file.reset(memfd_create(name, flags));
    if (!file) return failed("memfd_create", errno);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (!write_all(file.get(), text)) return failed("memory file", errno);
    if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) <
        0) {
        return failed("sealing a memory file", errno);
    }
    // A second open: for reading only, and from the start.
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    UniqueFd reader(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!reader) return failed("memory file", errno);
    return reader;
}

Result<UniqueFd> null_file() {
    UniqueFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!file) return failed("/dev/null", errno);
    return file;
}

}  // namespace postern
