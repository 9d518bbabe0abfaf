// Starts programs from a thread that has no descriptor but those that it is given.
//
// A process that is being started has a copy of every descriptor of the thread that starts it,
// until its exec closes them. Among the guard's are connections of strangers; where such a copy is
// the last (the guard may close its own at any time), the exec stands still for as long as a socket
// inside lingers. Descriptors are a thread's own once it asks for that (unshare(2), CLONE_FILES).
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace postern {

// What is started: with an empty environment, default signals, and these descriptors alone. Besides
// those it gets 0, 1 and 2 of the guard's, where none is named for them.
struct Program {
    int file = -1;  // of the program; it stays the caller's, as the descriptors do
    std::vector<std::string> arguments;
    std::vector<std::pair<int, int>> descriptors;  // the caller's own, and as what it is given
};

class Spawner {
  public:
    // To be called before there is a descriptor of a stranger's. Errors: no thread, no descriptor.
    static Result<std::unique_ptr<Spawner>> create();
    ~Spawner();
    Spawner(const Spawner&) = delete;
    Spawner& operator=(const Spawner&) = delete;

    // Waits until the program was executed, and for other threads that call it. Error: why it was
    // not; then there is no process. Whoever calls reaps it.
    Result<pid_t> spawn(const Program& program);

  private:
    struct State;
    explicit Spawner(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace postern
