// Somebody who writes into a pipe and stands still in the middle of it, with the pipe's lock: his
// memory does not answer (userfaultfd(2), as a file of a dead server would not).
#pragma once

#include <cstddef>
#include <string>
#include <thread>

#include "base/unique_fd.h"

namespace postern {

class HungWriter {
  public:
    // Writes these to `pipe`, which outlives it: it stands still when it returns, at the last page
    // (of 4096 bytes), with what is before that in the pipe.
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
    char* memory_ = nullptr;
    std::size_t size_ = 0;  // of it
    std::string bytes_;
    std::thread writer_;
};

}  // namespace postern
