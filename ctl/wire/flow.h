// Moves bytes from one descriptor to another and never blocks: by splice(2) if one of them is a
// pipe and the other allows it, else by read(2) and write(2).
#pragma once

#include <poll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace postern::ctl {

class Flow {
  public:
    // Both descriptors stay the caller's. One that blocks is written to in pieces that do not.
    Flow(int from, int to);
    // To a function instead, which returns 0 or errno.
    using Sink = std::function<int(std::string_view bytes)>;
    Flow(int from, Sink sink) : from_(from), sink_(std::move(sink)), splices_(false) {}

    // What to poll for, the end to read from and the one to write to; each until it is ready.
    [[nodiscard]] std::array<pollfd, 2> watched() const;
    void seen(std::span<const pollfd> watched);
    [[nodiscard]] bool ready() const { return from_ready_ && to_ready_; }

    enum class Moved : std::uint8_t {
        some,    // or nothing, and it is to be polled again
        end,     // there was nothing more to read
        failed,  // error() says why
    };
    // Once, when it is ready: at most `most` bytes are taken.
    Moved move(std::size_t most);
    // Bytes that were ever taken.
    [[nodiscard]] std::uint64_t taken() const { return taken_; }
    // What was taken is written too.
    [[nodiscard]] bool empty() const { return held_.empty(); }

    [[nodiscard]] int error() const { return error_; }
    [[nodiscard]] bool read_failed() const { return read_failed_; }

  private:
    Moved splice_some(std::size_t most);
    Moved read_some(std::size_t most);
    Moved write_some();
    Moved failed(int error, bool reading);

    int from_;
    int to_ = -1;
    Sink sink_;
    bool splices_ = true;
    bool whole_ = false;  // a write of any length returns at once
    bool from_ready_ = false;
    bool to_ready_ = false;
    std::string held_;
    std::uint64_t taken_ = 0;
    int error_ = 0;
    bool read_failed_ = false;
};

}  // namespace postern::ctl
