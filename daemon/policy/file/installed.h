// A file that is judged by its text, and lies where a daemon reads it already.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace postern::policy {

// Whether `path`, in whatever way it is written, lies in `directory` itself.
bool lies_in(const std::string& path, const std::string& directory);

// Whether a daemon of `owner` would believe it, by its owner and mode and those of the directories
// above it (host/safe_file.h). Error: FILE: why not. What can't be told is no error.
Status check_installed(const std::string& path, uid_t owner);

}  // namespace postern::policy
