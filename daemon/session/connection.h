// One client's connection: bytes in, one call at a time, replies out.
//
// Calls are answered in the order in which they came. What the client does not read is kept up to a
// bound (limits::client_backlog_bytes) and then no further call is begun, no further output of a
// job is read. It never blocks, and one turn does a bounded amount of work, however much there is
// to do.
//
// There may be thousands that nobody uses: what few have, and only at times, is apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
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

// What epoll knows a connection by.
enum class Token : std::uint64_t {};

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
    PendingCall* pending() { return call_.get(); }

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

    // The session's side of it.
    Token token{};
    Clock::time_point registered_deadline = Clock::time_point::max();  // that: none
    std::size_t counted_backlog = 0;
    std::uint32_t registered_events = 0;
    bool in_ready_list = false;

  private:
    enum class State : std::uint8_t {
        open,
        sent_away,  // after an error that ends the connection: replies go out, input is thrown away
        gone,
    };

    // Input that is neither answered nor thrown away when a turn is over: a message that goes on,
    // or calls that wait.
    struct Kept {
        protocol::Framer framer;
        std::string bytes;
        std::size_t used = 0;  // of them
        Clock::time_point last_input;
    };

    void set_state(State state);
    Next serve(std::uint32_t events);
    [[nodiscard]] std::optional<Clock::time_point> input_deadline() const;
    [[nodiscard]] std::optional<Clock::time_point> unread_deadline() const;
    std::string_view receive();
    void client_hung_up();
    Kept& kept();
    [[nodiscard]] bool has_input() const { return kept_ && kept_->used < kept_->bytes.size(); }
    [[nodiscard]] bool mid_message() const { return kept_ && kept_->framer.mid_message(); }
    [[nodiscard]] bool may_receive() const;
    [[nodiscard]] bool may_begin() const;
    bool begin_calls(std::string_view received);
    bool frame_and_begin(std::string_view& rest);
    void keep_rest(std::string_view rest);
    bool begin_small(std::string_view& rest);
    void begin(const protocol::Frame& frame);
    [[nodiscard]] Context context() const;
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

    Shared& shared_;
    channel::ConnectionId id_;
    ClientSocket socket_;
    std::unique_ptr<const std::string> unit_;  // as of Context
    std::unique_ptr<Kept> kept_;               // null: nothing is
    std::unique_ptr<PendingCall> call_;
    std::int32_t pid_;
    bool administrator_;
    bool alone_;

    State state_ = State::open;
    // Input was there while none could be taken: not asked for until it can.
    bool input_paused_ = false;
    // The client has shut down its sending side: what it has sent is answered, then it is over.
    bool input_over_ = false;
    // We have shut down ours.
    bool output_over_ = false;
    bool followed_ = false;  // a job that ran, after the last turn
    channel::CloseCause cause_ = channel::CloseCause::over;
    // Of the last message: replies that belong to no message end the same way.
    char last_terminator_ = '\0';
    bool last_oneway_ = false;
};
// What test_what_idle_connections_take sees thousands of.
static_assert(sizeof(Connection) <= 120);

}  // namespace postern::session
