// What posternctl exits with. Where the job itself ended, the exit code is the job's own.
#pragma once

#include <string_view>

namespace postern::ctl {

struct JobEnd;

namespace exit_code {
inline constexpr int success = 0;
inline constexpr int usage = 2;
inline constexpr int invalid = 122;  // the arguments, or the whole call, are not valid
inline constexpr int limit = 123;    // a limit is reached, or the daemon can't at the moment
inline constexpr int timeout = 124;  // the job's time was up
// The daemon can't be reached, broke off, or talks nonsense; or not all of a job's output came, or
// could be written.
inline constexpr int broken = 125;
inline constexpr int not_granted = 126;  // not permitted, or no such action
inline constexpr int not_started = 127;  // the program could not be started
inline constexpr int signal_base = 128;  // + N: signal N ended the job
inline constexpr int hung_up = 129;      // SIGHUP
inline constexpr int interrupted = 130;  // Ctrl-C
inline constexpr int terminated = 143;   // SIGTERM
}  // namespace exit_code

// For a signal that interrupted posternctl: 129, 130 or 143.
int exit_code_of_signal(int signal);

// For a reply that is an error, by its full name.
int exit_code_of_error(std::string_view error);

int exit_code_of_job(const JobEnd& end);

}  // namespace postern::ctl
