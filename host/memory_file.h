// Files that are in no directory.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern {

// A descriptor of a memory file that nobody can change any more, for reading. `name` is for
// /proc alone (memfd_create(2)). Error: ENOMEM, EMFILE.
Result<UniqueFd> sealed_file(const char* name, std::span<const std::uint8_t> bytes);

// /dev/null, for reading.
Result<UniqueFd> null_file();

}  // namespace postern
