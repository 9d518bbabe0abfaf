// A program that is to be started, with what the kernel starts for it.
//
// What begins with "#!" is executed by the interpreter that its first line names, which may be a
// script itself (execve(2), "Interpreter scripts"); env(1) as an interpreter looks for a program in
// PATH. Whoever may change one of these decides what runs, so each is judged like the program.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "host/safe_file.h"

namespace postern {

// Opens a program as open_safe() does it for Use::execute, and judges its interpreters in the same
// way, at most four one after the other. `search_path` is the PATH that the program will have: what
// env(1) would look for is judged in each of its directories, since which of them counts depends on
// the user, and none may be one where others could put such a program.
// The error is of the first that is not safe, and names those that led to it.
Result<UniqueFd, OpenError> open_safe_program(const std::string& path, uid_t owner,
                                              std::string_view search_path);

// What keeps Linux from starting the program that was opened, though it is safe: it is neither ELF
// nor a script. Empty: nothing. Only a warning: binfmt_misc may know the file.
std::string format_problem(const UniqueFd& program, const std::string& path);

}  // namespace postern
