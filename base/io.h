// Small files whole, and writes that no signal breaks off.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern {

// All that there is to read, up to the end and at most `limit` bytes. Errors as below.
Result<std::string, int> read_all(int fd, std::size_t limit);

// A whole file of at most `limit` bytes; errno where it can't be read, EFBIG where it is longer.
Result<std::string, int> read_file(const std::string& path, std::size_t limit);

// A small file of the kernel's (of /proc, a cgroup) that gives all of its text to the first who
// asks for 4 KiB: one call less. errno where it can't be read.
Result<std::string, int> read_kernel_file(const std::string& path);

// One write of all of `text` to a file that exists. Returns 0 or errno.
int write_file(const std::string& path, const std::string& text);

// All of it, however many calls of write(2) that takes. False: errno says why.
bool write_all(int fd, std::string_view text);

}  // namespace postern
