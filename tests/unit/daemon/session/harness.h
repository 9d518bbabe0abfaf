// A session without processes: the real one, in this process, with a guard that does what a test
// says and clients at the other ends of socket pairs.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"
#include "daemon/session/session.h"

namespace postern::test {

// The client's end of a connection; never blocks.
class Client {
  public:
    explicit Client(UniqueFd socket) : socket_(std::move(socket)) {}

    // All of it, or the test fails.
    void send(std::string_view bytes);
    // As much as the socket takes; how much that was.
    std::size_t try_send(std::string_view bytes);
    void send_with_descriptor(std::string_view bytes, int descriptor);
    void end_input();  // shutdown(2) of the sending side, as `nc -N` does
    void close() { socket_.reset(); }

    // What has arrived since the last time.
    std::string receive();
    // The session has ended the connection, and everything before that has been received.
    [[nodiscard]] bool ended() const { return ended_; }

  private:
    UniqueFd socket_;
    bool ended_ = false;
};

using Envelope = channel::Envelope<channel::ToSession>;

// A message of the session, with what it is about.
template <typename M>
struct Heard : M {
    channel::ConnectionId connection{};
    channel::RequestId request{};
};

class SessionHarness {
  public:
    // Welcomed, with these actions granted.
    explicit SessionHarness(std::vector<ActionDescription> actions = {});

    session::Session& session() { return *session_; }

    // A new connection; its Accepted is asserted and taken.
    Client connect(std::uint64_t connection, std::int32_t pid = 4711, std::string unit = "");
    // The kernel keeps at most about this many bytes that a client has not read. As connect().
    Client connect_small(std::uint64_t connection, int send_buffer);

    // A connection, with its descriptor.
    void give(const channel::Connection& connection, int descriptor);
    // About nothing, a connection, or a call of one.
    void send(channel::ToSession body, std::vector<int> descriptors = {});
    void send(std::uint64_t connection, channel::ToSession body, std::vector<int> descriptors = {});
    void send(std::uint64_t connection, channel::RequestId request, channel::ToSession body,
              std::vector<int> descriptors = {});
    void send(const Envelope& message, std::vector<int> descriptors = {});
    void send_raw(const channel::Bytes& packet, std::vector<int> descriptors = {});
    void send_snapshot(const std::vector<ActionDescription>& actions);
    void close_channel() { channel_.reset(); }
    [[nodiscard]] int channel() const { return channel_.get(); }

    // Gives the session steps until nothing is left to do.
    session::Session::State settle(int steps = 24);
    // ... until this holds; false: it did not within many steps.
    bool until(const std::function<bool()>& holds);

    // The next message of the session; nothing: none is there.
    std::optional<channel::Envelope<channel::ToGuard>> heard();
    // The next message, which must be of this type.
    template <typename M>
    Heard<M> expect() {
        settle();
        auto message = heard();
        if (!message || !std::holds_alternative<M>(message->body)) {
            report_unexpected(message);
            return {};
        }
        return {std::get<M>(message->body), message->connection, message->request};
    }
    // The next message, which must say of one connection that it is closed.
    channel::ClosedConnection expect_closed();
    // Settles, and there is no message.
    bool silent();

    // The session's clock, which stands still otherwise.
    void advance(std::chrono::milliseconds by) { now_ += by; }

  private:
    static void report_unexpected(
        const std::optional<channel::Envelope<channel::ToGuard>>& message);
    Client connect_by(std::uint64_t connection, std::int32_t pid, std::string unit,
                      int send_buffer);

    UniqueFd channel_;
    std::unique_ptr<channel::Receiver> receiver_ =
        std::make_unique<channel::Receiver>(channel::Descriptors::refused);
    std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
    std::unique_ptr<session::Session> session_;
};

// A regular file that has no name, of the test's own: the output of a job.
class TestFile {
  public:
    TestFile();
    void append(std::string_view bytes);
    void truncate(std::uint64_t size);
    // As the guard does it when a file grows too long.
    void punch(std::uint64_t offset, std::uint64_t length);
    [[nodiscard]] int fd() const { return file_.get(); }
    [[nodiscard]] UniqueFd reader() const;

  private:
    UniqueFd file_;
};

// The actions that the tests use: "hello" and "restart".
std::vector<ActionDescription> some_actions();

}  // namespace postern::test
