// Somebody who writes into a pipe and stands still in the middle of it, with the pipe's lock: his
// memory does not answer (userfaultfd(2), as a file of a dead server would not).
#pragma once

#include <cstddef>
#include <string>
#include <thread>

#include "base/unique_fd.h"

namespace postern::output::test {

class HungWriter {
  public:
    // Writes these to `pipe`, which outlives it: it stands still when it returns. At most a page.
    HungWriter(int pipe, std::string bytes);
    HungWriter(const HungWriter&) = delete;
    HungWriter& operator=(const HungWriter&) = delete;
    ~HungWriter() { go_on(); }

    // userfaultfd(2) is to be had here.
    static bool is_possible();

    // Waits until all is written.
    void go_on();

  private:
    UniqueFd faults_;
    void* memory_ = nullptr;
    std::string bytes_;
    std::thread writer_;
};

}  // namespace postern::output::test
