// One client's connection: bytes in, one call at a time, replies out.
//
// Calls are answered in the order in which they came. What the client does not read is kept up to a
// bound (limits::client_backlog_bytes) and then no further call is begun, no further output of a
// job is read. It never blocks, and one turn does a bounded amount of work, however much there is
// to do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/session/client_socket.h"
#include "daemon/session/pending_call.h"
#include "daemon/session/shared.h"
#include "protocol/framing.h"

namespace postern::session {

class Connection final : public Replies {
  public:
    // `shared` outlives the connection.
    Connection(UniqueFd socket, const channel::Connection& about, Shared& shared);

    // What to do after a turn.
    enum class Next : std::uint8_t {
        wait,   // for an event
        again,  // there is more to do at once
        gone,   // the client is gone or was sent away: close it
    };

    // One turn of bounded work. `events`: from epoll_wait(2), or 0.
    Next turn(std::uint32_t events);

    // Events to wait for, besides EPOLLHUP and EPOLLERR.
    [[nodiscard]] std::uint32_t wanted_events() const;

    // The call that the guard has still to answer; nullptr: none. After an answer the connection is
    // to be given a turn.
    PendingCall* pending() { return call_ ? &*call_ : nullptr; }

    // The client's time is up then: it is silent in the middle of a message, does not go, or does
    // not read (one that follows a job that runs may stand still).
    [[nodiscard]] std::optional<Clock::time_point> deadline() const;
    // Call it at or after the deadline, then give the connection a turn.
    void expire();

    // Ends the connection for the client, even while the guard still holds a copy of the
    // descriptor.
    void close() { socket_.shut_down(); }

    [[nodiscard]] int fd() const { return socket_.fd(); }
    [[nodiscard]] channel::ConnectionId id() const { return id_; }
    // The guard has no copy of its descriptor.
    [[nodiscard]] bool is_alone() const { return alone_; }
    // Why it is to be closed, once it is `gone`.
    [[nodiscard]] channel::CloseCause cause() const { return cause_; }
    // Bytes that wait for the client to read.
    [[nodiscard]] std::size_t backlog() const { return socket_.backlog(); }

    // epoll's side of it, for the session.
    std::uint32_t registered_events = 0;
    bool in_ready_list = false;
    std::optional<Clock::time_point> registered_deadline;
    std::size_t counted_backlog = 0;

  private:
    enum class State : std::uint8_t {
        open,
        sent_away,  // after an error that ends the connection: replies go out, input is thrown away
        gone,
    };

    void set_state(State state);
    Next serve(std::uint32_t events);
    [[nodiscard]] std::optional<Clock::time_point> input_deadline() const;
    [[nodiscard]] std::optional<Clock::time_point> unread_deadline() const;
    void receive();
    void input_taken();
    void client_hung_up();
    [[nodiscard]] bool may_receive() const;
    [[nodiscard]] bool may_begin() const;
    bool begin_calls();
    void begin(const protocol::Frame& frame);
    bool proceed();
    void send_away(std::string_view message);

    void reply(const nlohmann::json& parameters, bool continues) override;
    void output(std::string_view job, const std::array<protocol::OutputPart, 2>& parts) override;
    void error(std::string_view error, const nlohmann::json& parameters) override;
    [[nodiscard]] std::string text_of(const nlohmann::json& parameters,
                                      bool continues) const override;
    [[nodiscard]] bool all_sent() const override { return socket_.backlog() == 0; }
    [[nodiscard]] std::size_t room() const override;
    [[nodiscard]] std::uint64_t queued() const override;
    [[nodiscard]] std::uint64_t sent() const override { return socket_.total(); }

    channel::ConnectionId id_;
    ClientSocket socket_;
    std::int32_t pid_;
    std::optional<std::string> unit_;
    bool administrator_;
    bool alone_;
    Shared& shared_;

    State state_ = State::open;
    protocol::Framer framer_;
    // Received and not yet framed.
    std::string input_;
    std::size_t input_used_ = 0;
    // Input was there while none could be taken: not asked for until it can.
    bool input_paused_ = false;
    // The client has shut down its sending side: what it has sent is answered, then it is over.
    bool input_over_ = false;
    // We have shut down ours.
    bool output_over_ = false;
    Clock::time_point last_input_;
    // While something waits for the client: when it read last, and how much it had read then.
    Clock::time_point last_read_;
    std::optional<std::uint64_t> read_;
    bool followed_ = false;  // a job that ran, after the last turn
    channel::CloseCause cause_ = channel::CloseCause::over;
    // Of the last message: replies that belong to no message end the same way.
    char last_terminator_ = '\0';
    bool last_oneway_ = false;
    std::optional<PendingCall> call_;
};

}  // namespace postern::session
