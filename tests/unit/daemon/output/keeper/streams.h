// Pipes, files and bytes of jobs that a test makes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/output/message.h"

namespace postern::output::test {

// As the keeper makes them: both ends block.
struct Pipe {
    Pipe();
    // All of it, or the test fails.
    void put(std::string_view bytes) const;
    UniqueFd read;
    UniqueFd write;
};

// The file of a stream, in memory.
class File {
  public:
    File();
    explicit File(UniqueFd file) : file_(std::move(file)) {}
    [[nodiscard]] int get() const { return file_.get(); }
    // Another descriptor of it.
    [[nodiscard]] UniqueFd again() const;
    [[nodiscard]] std::uint64_t size() const;
    // All from `from` on; the test fails where that is not stored any more.
    [[nodiscard]] std::string stored(std::uint64_t from = 0) const;
    // Waits until it is so long.
    void await_size(std::uint64_t size) const;

  private:
    UniqueFd file_;
};

UniqueFd again(const UniqueFd& descriptor);

// So many bytes of a sequence in which each eight are their own number, from `from` on, both
// multiples of 8.
std::string numbered(std::uint64_t from, std::size_t length);

JobId job(unsigned number);

}  // namespace postern::output::test
