// One stream of a job: what is in its pipe goes into its file, by splice(2) and so never through
// the memory of this process.
//
// The file's size is all the state that there is. So whoever holds pipe and file can go on where
// another was killed, at any system call: nothing is lost or doubled. (But for bytes that went to
// nobody for want of space and were not counted yet.) Even while a thread of that one still waits
// in splice(2), which it can't be woken from: it looks whether it was killed before it takes a
// byte, and until what it took is written it has the pipe's lock (fs/splice.c). So the first step
// asks for that lock, and then how long the file is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/output/message.h"

namespace postern::output {

// What is wanted of a stream, by the words of message.h.
struct Demand {
    std::uint64_t stored = 0;
    std::uint64_t floor = none;
    std::uint64_t awaited = none;  // is for whoever makes the steps
    std::uint32_t followers = 0;
};

// What becomes of bytes that can't be written, where nobody follows.
enum class Relief : std::uint8_t {
    wait,      // they do, in the pipe
    give_way,  // the oldest bytes that are stored are freed for them, and then they are dropped
    drop,      // so, and also what would leave a block half dropped
};

class KeptStream {
  public:
    explicit KeptStream(UniqueFd pipe) : pipe_(std::move(pipe)) {}

    // Whether it is one, opened for reading; or the other one. Without asking for the pipe's lock.
    static bool is_read_end(int pipe);
    static bool is_write_end(int pipe);
    // A file without O_APPEND, which splice(2) refuses. False: it is no such file, and none was
    // taken.
    bool take_file(UniqueFd file);

    [[nodiscard]] int pipe() const { return pipe_.get(); }
    [[nodiscard]] int file() const { return file_.get(); }
    [[nodiscard]] bool has_file() const { return static_cast<bool>(file_); }
    [[nodiscard]] std::uint64_t size() const { return size_; }

    Demand demand;

    enum class State : std::uint8_t {
        moved,     // and there may be more
        relieved,  // bytes were freed or dropped for want of space; there may be more
        empty,     // the pipe is: a write to it is an event
        held,      // back, for those who follow; or there is no file yet
        failed,    // no byte could be written
        ended,     // it was to finish, and all is taken
    };
    struct Step {
        State state = State::empty;
        int error = 0;  // errno; but for `failed`: the front, or the end, could not be moved
    };
    // Moves at most so many bytes. `window`: as message.h has it. `null`: /dev/null. May stand
    // still for ever (workers.h).
    Step step(std::size_t most, std::uint64_t window, Relief relief, int null);

    // What is in the pipe at the next step is all that there is.
    void finish() { finishes_ = true; }

    // It is over: pipe and file are the caller's.
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
    // Frees what is before the newest `keep` bytes, and what no follower lacks, once it is more
    // than `spare`.
    int trim(std::uint64_t keep, std::uint64_t spare);
    Step out_of_bytes();
    Step end();

    UniqueFd pipe_;
    UniqueFd file_;
    std::uint64_t size_ = 0;
    std::uint64_t front_ = 0;  // where what is stored begins
    // The last block is part of the hole, and the rest of it has to be: see drop().
    bool in_hole_ = false;
    int front_error_ = 0;  // it was said already
    bool alone_ = false;   // nobody else is in the middle of a step
    bool finishes_ = false;
    std::optional<std::uint64_t> left_;
};

}  // namespace postern::output
