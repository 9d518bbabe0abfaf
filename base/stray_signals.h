// Signals that would end a process although nobody asked it to end: habits of other programs
// ("kill -USR1" after a rotation of logs), `systemctl kill` to a whole service, a wrong number.
#pragma once

#include <initializer_list>
#include <vector>

namespace postern {

// All that end a process by default (signal(7)), but those of `wanted`, SIGKILL, which can't be
// helped, and those that a fault of the process itself raises. SIGABRT is one of these: the service
// manager's watchdog sends it. Real-time signals are in it, but for the two below SIGRTMIN that the
// C library keeps for itself and sigaction(3) refuses.
std::vector<int> stray_signals(std::initializer_list<int> wanted);

// Those two have no effect from now on, until the C library wants them: it handles one of them from
// the first thread on, to change the ids of all threads.
void ignore_library_signals();

// Strays have no effect from now on. A program that is executed inherits that.
void ignore_stray_signals(std::initializer_list<int> wanted);

}  // namespace postern
