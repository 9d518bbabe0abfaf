// Writing to standard output and standard error, byte for byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern::ctl {

enum class Written : std::uint8_t { all, interrupted };

// Writes all of it to standard output or standard error, whatever the descriptor does: short
// writes, EINTR, and EAGAIN of a descriptor that another program made non-blocking. A closed pipe
// ends the process by SIGPIPE. `interrupt`: a descriptor that becomes readable when the user wants
// to stop, or -1. The error is one line: "standard output: No space left on device".
Result<Written> write_all(int fd, std::string_view bytes, int interrupt);

// What some file systems say only when a descriptor is closed (close(2): NFS, quotas): that what
// was written to it could not be kept. The descriptor stays open. The error is one line.
Status written_out(int fd);

// One line, or several, of our own to standard output. Exits of the program are 0 only if this was
// ok.
Status print(std::string_view text);

// "posternctl: MESSAGE" to standard error, as one line whatever the message contains. Where it
// can't be written there is nobody to tell.
void complain(std::string_view message);

// One line on the terminal that standard error is, until it is cleared or anything else is written.
// Not shown where standard error is no terminal or not ours at the moment (posternctl runs in the
// background), nor in the middle of a line that somebody has begun.
void show_status(std::string_view line);
void clear_status();
// Whether standard output can't be in the way of such a line: it is a terminal, a file, or
// /dev/null. What reads a pipe may be drawing on the terminal itself.
bool output_leaves_terminal_alone();

// Makes sure that 0, 1 and 2 are open, so that no socket of ours takes their place, and that
// SIGPIPE has its default effect, whatever was inherited. To be called first.
void prepare_standard_streams();

// The columns of the terminal that standard output is; 0: it is none, or it does not say.
std::size_t terminal_width();

}  // namespace postern::ctl
