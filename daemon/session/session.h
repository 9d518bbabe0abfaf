// The session: its connections, its channel to the guard, and the loop that serves both.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/session/connection.h"
#include "daemon/session/connection_table.h"
#include "daemon/session/datagrams.h"
#include "daemon/session/guard_link.h"
#include "daemon/session/methods.h"
#include "daemon/session/shared.h"
#include "model/action.h"
#include "model/call.h"

namespace postern::session {

class Session {
  public:
    // Opens what the loop needs; nothing after it opens anything. Errors: EMFILE, ENOMEM.
    static Result<std::unique_ptr<Session>> create(UniqueFd channel);

    // Says to the guard that the session serves.
    void ready();

    enum class State : std::uint8_t {
        running,
        over,    // the guard has closed the channel
        broken,  // the guard said what no guard of ours says
    };
    // Waits for events and serves them: for at most `milliseconds` (-1: for ever; less, where there
    // is something to do).
    State step(int milliseconds);

    // For tests, before the first step.
    void set_methods(std::span<const Method> methods) { shared_.methods = methods; }
    void set_clock(std::function<Clock::time_point()> now) { shared_.now = std::move(now); }
    [[nodiscard]] const Connection* find(channel::ConnectionId connection) const;

  private:
    Session(UniqueFd epoll, UniqueFd channel);
    void serve_guard();
    bool receive(channel::Envelope<channel::ToSession> message, std::vector<UniqueFd>& descriptors);
    bool receive(const channel::Connection& about, UniqueFd socket);
    bool receive(channel::ConnectionId id, channel::RequestId request, const CallAnswer& answer,
                 std::vector<UniqueFd>& files);
    bool welcome(const channel::Welcome& message);
    bool groups(const channel::Groups& message);
    bool snapshot(const channel::ToSession& message);

    // Afterwards it, or another one, may be gone.
    void give_turn(Connection& connection, std::uint32_t events);
    void remove(Connection& connection, channel::CloseCause cause);
    void has_more_to_do(Connection& connection);
    void watch_deadline(Connection& connection);
    void count_backlog(Connection& connection, std::size_t backlog);
    void bound_backlog();
    void watch_guard();
    void serve_ready();
    void serve_deadlines();
    [[nodiscard]] int timeout(int milliseconds) const;

    UniqueFd epoll_;
    GuardLink guard_;
    Shared shared_;
    Datagrams datagrams_;
    bool broken_ = false;
    bool watching_guard_writable_ = false;

    bool welcomed_ = false;
    std::size_t groups_missing_ = 0;
    // The set of actions that is arriving.
    std::optional<std::uint32_t> snapshot_count_;
    std::vector<ActionDescription> snapshot_;

    ConnectionTable connections_;
    // Connections with work to do at once: they may be gone. And those that may have a deadline,
    // the nearest first: theirs is then, or later.
    std::deque<Token> ready_;
    std::set<std::pair<Clock::time_point, Token>> deadlines_;
};

}  // namespace postern::session
