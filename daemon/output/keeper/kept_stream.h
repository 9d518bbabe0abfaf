// One stream of a job: what is in its pipe goes into its file, by splice(2) and so never through
// the memory of this process.
//
// The file's size is the only state. So whoever holds pipe and file can continue where another
// process was killed, at any system call: nothing is lost or doubled. (Except the count of bytes
// that were just dropped for want of space.) This holds even while a thread of the killed process
// still waits in splice(2), from which it can't be woken: it checks whether it was killed before it
// takes a byte, and holds the pipe's lock until what it took is written (fs/splice.c). So the first
// step takes that lock, and then asks how long the file is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/output/message.h"

namespace postern::output {

// What is wanted of a stream, in the terms of message.h.
struct Demand {
    std::uint64_t stored = 0;
    std::uint64_t floor = none;
    std::uint64_t awaited = none;  // not read here, but by whoever calls step()
    std::uint32_t followers = 0;
};

// What happens to bytes that can't be written, if nobody follows.
enum class Relief : std::uint8_t {
    wait,      // they wait in the pipe
    give_way,  // the oldest stored bytes are freed for them; if there are none, they are dropped
    drop,      // the same, even if that leaves a block half dropped
};

class KeptStream {
  public:
    explicit KeptStream(UniqueFd pipe) : pipe_(std::move(pipe)) {}

    // Whether it is that end of a pipe. Neither takes the pipe's lock.
    static bool is_read_end(int pipe);
    static bool is_write_end(int pipe);
    // A file without O_APPEND, which splice(2) refuses. False: it is not such a file, and is not
    // taken.
    bool take_file(UniqueFd file);

    [[nodiscard]] int pipe() const { return pipe_.get(); }
    [[nodiscard]] int file() const { return file_.get(); }
    [[nodiscard]] bool has_file() const { return static_cast<bool>(file_); }
    [[nodiscard]] std::uint64_t size() const { return size_; }

    Demand demand;

    enum class State : std::uint8_t {
        moved,     // bytes were moved; there may be more
        relieved,  // bytes were freed or dropped for want of space; there may be more
        empty,     // the pipe is empty: a write to it is an event
        held,      // held back for those who follow, or there is no file yet
        failed,    // no byte could be written
        ended,     // finish() was called, and all is taken
    };
    struct Step {
        State state = State::empty;
        int error =
            0;  // errno. With other states than `failed`: a front, or the end, was not moved
    };
    // Moves at most `most` bytes. `window`: as in message.h. `null`: /dev/null. May stand still for
    // ever (workers.h).
    Step step(std::size_t most, std::uint64_t window, Relief relief, int null);

    // What is in the pipe at the next step is the rest of the stream.
    void finish() { finishes_ = true; }

    // Nothing is moved any more: pipe and file become the caller's.
    [[nodiscard]] std::pair<UniqueFd, UniqueFd> let_go() {
        return {std::move(pipe_), std::move(file_)};
    }

  private:
    void measure();
    [[nodiscard]] std::uint64_t allowed(std::size_t most, std::uint64_t window) const;
    Step drop(std::uint64_t most, Relief relief, int null);
    Step relieve(std::uint64_t most, int error, Relief relief, int null);
    [[nodiscard]] std::uint64_t up_to_block() const;
    bool free_until(std::uint64_t until);
    bool free_some();
    void mark_hole();
    void advance(std::uint64_t bytes);
    // Frees what is before the newest `keep` bytes and not needed by a follower, if that is more
    // than `spare` bytes.
    int trim(std::uint64_t keep, std::uint64_t spare);
    Step out_of_bytes();
    Step end();

    UniqueFd pipe_;
    UniqueFd file_;
    std::uint64_t size_ = 0;
    std::uint64_t front_ = 0;  // where what is stored begins
    // The last block is part of the hole, and the rest of it has to become so: see drop().
    bool in_hole_ = false;
    int front_error_ = 0;  // that was reported already
    bool alone_ = false;   // no other process is in the middle of a step
    bool finishes_ = false;
    std::optional<std::uint64_t> left_;
};

}  // namespace postern::output
