// A client's stream socket, which never blocks: bytes in, and the bytes that wait to go out.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace postern::session {

// What waits to go out to one client, while something does.
struct Unsent {
    std::string bytes;
    std::size_t sent = 0;  // of them
    // When the client read last, and how much in all it had read then.
    std::chrono::steady_clock::time_point last_read;
    std::optional<std::uint64_t> read;
};

class ClientSocket {
  public:
    explicit ClientSocket(UniqueFd socket) : socket_(std::move(socket)) {}

    [[nodiscard]] int fd() const { return socket_.get(); }

    struct Input {
        enum class State : std::uint8_t {
            bytes,
            nothing,      // no input waits
            ended,        // the client has shut down its sending side, or is gone
            descriptors,  // it sent descriptors: they are gone, and its bytes are not to be used
        };
        State state = State::nothing;
        std::size_t count = 0;  // bytes in the buffer
    };

    // One recvmsg(2). Descriptors that come along never become this process's own: closing one
    // could stand still so that nothing ends it, not even SIGKILL (a file on a hung FUSE). That the
    // kernel drops them can take as long as their sender chose (a TCP socket with SO_LINGER), at
    // the cost of this session's own caller alone, and until the guard kills it.
    Input receive(std::span<char> buffer);

    // Adds to what waits; flush() sends it. `spare`: what no other client needs at present, so that
    // one to which nothing waits costs no memory for it.
    void queue(std::string_view bytes, std::unique_ptr<Unsent>& spare) {
        waiting(spare).append(bytes);
    }
    // To add to at its end; for what is long.
    std::string& waiting(std::unique_ptr<Unsent>& spare);

    // One send(2) of what waits, if anything does. False: the client is gone.
    bool flush(std::unique_ptr<Unsent>& spare);
    // Bytes that were ever sent.
    [[nodiscard]] std::uint64_t total() const { return total_; }

    [[nodiscard]] std::size_t backlog() const {
        return unsent_ ? unsent_->bytes.size() - unsent_->sent : 0;
    }
    // Null: nothing waits.
    [[nodiscard]] Unsent* unsent() const { return unsent_.get(); }

    // Tells the client that nothing more comes.
    void end_output();
    // ... and that nothing more is read.
    void shut_down();

  private:
    UniqueFd socket_;
    std::unique_ptr<Unsent> unsent_;
    std::uint64_t total_ = 0;
};

}  // namespace postern::session
