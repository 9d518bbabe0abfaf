#include "daemon/session/session.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/limits.h"
#include "base/version.h"

namespace postern::session {

using channel::ConnectionId;

namespace {

// In epoll's data; never a connection's.
constexpr Token guard_token{~std::uint64_t{0}};
constexpr Clock::time_point never = Clock::time_point::max();
// Packets that are taken in one go, so that clients get their turn too; a set of actions that has
// begun to arrive is taken whole, as far as it is there.
constexpr int messages_per_turn = 32;
// The most groups that the kernel gives a process (NGROUPS_MAX), and the primary one.
constexpr std::size_t most_groups = 65537;
// "4294967295,", and what stands around the groups in the reply of WhoAmI.
constexpr std::size_t bytes_per_group = 11;
constexpr std::size_t bytes_around_groups = 4096;

bool control(int epoll, int operation, int fd, std::uint32_t events, Token token) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = static_cast<std::uint64_t>(token);
    return ::epoll_ctl(epoll, operation, fd, &event) == 0;
}

}  // namespace

Result<std::unique_ptr<Session>> Session::create(UniqueFd channel) {
    UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) return fail(std::string("epoll_create1: ") + std::strerror(errno));
    if (!control(epoll.get(), EPOLL_CTL_ADD, channel.get(), EPOLLIN, guard_token)) {
        return fail(std::string("the channel can't be watched: ") + std::strerror(errno));
    }
    return std::unique_ptr<Session>(new Session(std::move(epoll), std::move(channel)));
}

Session::Session(UniqueFd epoll, UniqueFd channel)
    : epoll_(std::move(epoll)),
      guard_(std::move(channel)),
      shared_{guard_, session::methods(), {}, {}},
      datagrams_(shared_) {}

void Session::ready() {
    guard_.send({{}, {}, channel::Ready{version}});
}

const Connection* Session::find(ConnectionId connection) const {
    return connections_.find(connection);
}

Session::State Session::step(int milliseconds) {
    std::array<epoll_event, 64> events;
    int count = 0;
    do {
        count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                             timeout(milliseconds));
    } while (count < 0 && errno == EINTR);
    const auto begin = events.begin();
    const auto end = begin + std::max(count, 0);
    // The guard first: a call that comes after a reload is answered from the new set of actions.
    for (auto event = begin; event != end; ++event) {
        if (Token{event->data.u64} != guard_token) continue;
        if ((event->events & EPOLLOUT) != 0) guard_.flush();
        serve_guard();
    }
    for (auto event = begin; event != end && !broken_; ++event) {
        // A copy: the kernel's structure is packed on x86-64, so no reference may be bound into it.
        const Token token{event->data.u64};
        if (token == guard_token) continue;
        // It may have gone in this very round.
        Connection* const connection = connections_.find(token);
        if (connection != nullptr) give_turn(*connection, event->events);
    }
    datagrams_.turn();
    serve_ready();
    serve_deadlines();
    guard_.send_gathered();
    watch_guard();
    if (broken_ || count < 0) return State::broken;
    return guard_.ended() ? State::over : State::running;
}

int Session::timeout(int milliseconds) const {
    if (!ready_.empty() || datagrams_.ready()) return 0;
    if (deadlines_.empty()) return milliseconds;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadlines_.begin()->first - shared_.now());
    const int until = static_cast<int>(std::max<std::int64_t>(left.count(), 0));
    return milliseconds < 0 ? until : std::min(milliseconds, until);
}

void Session::serve_guard() {
    for (int i = 0; i < messages_per_turn || snapshot_count_; i += 2) {
        for (channel::Received& received : guard_.receive_two()) {
            if (received.state == channel::Received::State::nothing) return;
            if (received.state == channel::Received::State::ended) {
                guard_.end();
                return;
            }
            auto message = channel::decode_to_session(received.packet);
            if (!message || !receive(std::move(*message), received.descriptors)) {
                broken_ = true;
                return;
            }
        }
    }
}

bool Session::receive(channel::Envelope<channel::ToSession> message,
                      std::vector<UniqueFd>& descriptors) {
    std::size_t expected = 0;
    if (const auto* given = std::get_if<channel::Connections>(&message.body)) {
        expected = given->all.size();
    }
    if (std::holds_alternative<JobStarted>(message.body)) expected = 2;
    if (descriptors.size() != expected) return false;
    if (!welcomed_ || groups_missing_ > 0) {
        if (const auto* m = std::get_if<channel::Welcome>(&message.body)) return welcome(*m);
        if (const auto* m = std::get_if<channel::Groups>(&message.body)) return groups(*m);
        return false;
    }
    return std::visit(
        [&](auto& body) {
            using Body = std::decay_t<decltype(body)>;
            if constexpr (std::is_same_v<Body, channel::Connections>) {
                bool good = true;
                for (std::size_t i = 0; good && i < body.all.size(); ++i) {
                    good = receive(body.all[i], std::move(descriptors[i]));
                }
                return good;
            } else if constexpr (std::is_same_v<Body, channel::Datagrams>) {
                return std::ranges::all_of(body.all, [this](channel::Datagram& one) {
                    return datagrams_.receive(std::move(one));
                });
            } else if constexpr (std::is_constructible_v<CallAnswer, Body>) {
                return receive(message.connection, message.request, std::move(body), descriptors);
            } else {
                return snapshot(message.body);
            }
        },
        message.body);
}

bool Session::welcome(const channel::Welcome& message) {
    if (welcomed_ || message.group_count > most_groups) return false;
    welcomed_ = true;
    groups_missing_ = message.group_count;
    shared_.caller = {message.uid, message.gid, {}, message.reply_output_bytes};
    shared_.caller.groups.reserve(message.group_count);
    shared_.longest_reply = std::max(shared_.longest_reply,
                                     message.group_count * bytes_per_group + bytes_around_groups);
    return true;
}

bool Session::groups(const channel::Groups& message) {
    if (message.groups.empty() || message.groups.size() > groups_missing_) return false;
    groups_missing_ -= message.groups.size();
    auto& all = shared_.caller.groups;
    all.insert(all.end(), message.groups.begin(), message.groups.end());
    return true;
}

bool Session::snapshot(const channel::ToSession& message) {
    if (const auto* begin = std::get_if<channel::SnapshotBegin>(&message)) {
        if (begin->count > limits::actions) return false;
        snapshot_count_ = begin->count;
        snapshot_.clear();  // the guard loaded anew before it had sent all of the last set
        return true;
    }
    if (!snapshot_count_) return false;
    if (const auto* action = std::get_if<channel::SnapshotAction>(&message)) {
        if (snapshot_.size() >= *snapshot_count_) return false;
        snapshot_.push_back(action->action);
        return true;
    }
    if (!std::holds_alternative<channel::SnapshotEnd>(message)) return false;
    if (snapshot_.size() != *snapshot_count_) return false;
    shared_.granted = Granted(std::exchange(snapshot_, {}));
    snapshot_count_.reset();
    return true;
}

bool Session::receive(const channel::Connection& about, UniqueFd socket) {
    if (connections_.find(about.id) != nullptr) return false;
    Connection& connection =
        connections_.add(std::make_unique<Connection>(std::move(socket), about, shared_));
    guard_.accepted(about.id);
    connection.registered_events = connection.wanted_events();
    if (!control(epoll_.get(), EPOLL_CTL_ADD, connection.fd(), connection.registered_events,
                 connection.token)) {
        // No memory, or no socket at all: this one can't be served, the others can.
        connections_.remove(connection);
        guard_.closed(about.id, channel::CloseCause::over);
    }
    return true;
}

bool Session::receive(ConnectionId id, channel::RequestId request, const CallAnswer& answer,
                      std::vector<UniqueFd>& files) {
    Connection* const connection = connections_.find(id);
    PendingCall* const call =
        connection == nullptr ? datagrams_.pending(id) : connection->pending();
    // Without a connection, our Closed and this answer have crossed.
    if (call == nullptr) return connection == nullptr;
    if (!call->take(request, answer, files)) return false;
    if (connection != nullptr) give_turn(*connection, 0);
    return true;
}

void Session::give_turn(Connection& connection, std::uint32_t events) {
    const Connection::Next next = connection.turn(events);
    if (next == Connection::Next::gone) return remove(connection, connection.cause());
    if (next == Connection::Next::again) has_more_to_do(connection);
    watch_deadline(connection);
    const std::uint32_t wanted = connection.wanted_events();
    if (wanted != connection.registered_events) {
        connection.registered_events = wanted;
        if (!control(epoll_.get(), EPOLL_CTL_MOD, connection.fd(), wanted, connection.token)) {
            return remove(connection, channel::CloseCause::over);
        }
    }
    count_backlog(connection, connection.backlog());
    bound_backlog();
}

void Session::has_more_to_do(Connection& connection) {
    if (!std::exchange(connection.in_ready_list, true)) ready_.push_back(connection.token);
}

// One that is later than what is registered is looked at when that has come.
void Session::watch_deadline(Connection& connection) {
    const auto deadline = connection.deadline();
    Clock::time_point& registered = connection.registered_deadline;
    if (!deadline || registered <= *deadline) return;
    if (registered != never) deadlines_.erase({registered, connection.token});
    registered = *deadline;
    deadlines_.emplace(registered, connection.token);
}

void Session::count_backlog(Connection& connection, std::size_t backlog) {
    shared_.backlog += backlog;
    shared_.backlog -= std::exchange(connection.counted_backlog, backlog);
}

// Who holds most goes, which may be the one that had its turn just now.
void Session::bound_backlog() {
    while (shared_.backlog > limits::session_backlog_bytes) {
        Connection* most = nullptr;
        connections_.for_each([&most](Connection& one) {
            if (most == nullptr || one.counted_backlog > most->counted_backlog) most = &one;
        });
        remove(*most, channel::CloseCause::holds_most);
    }
}

void Session::remove(Connection& connection, channel::CloseCause cause) {
    count_backlog(connection, 0);
    if (connection.registered_deadline != never) {
        deadlines_.erase({connection.registered_deadline, connection.token});
    }
    if (!connection.is_alone()) {
        // By hand: closing does not take it out of epoll as long as the guard holds a copy.
        control(epoll_.get(), EPOLL_CTL_DEL, connection.fd(), 0, connection.token);
        connection.close();
    }
    const ConnectionId id = connection.id();
    connections_.remove(connection);
    guard_.closed(id, cause);
}

// Connections that did not finish in their last turn get one each, in turn.
void Session::serve_ready() {
    for (std::size_t left = ready_.size(); left > 0 && !broken_; --left) {
        Connection* const connection = connections_.find(ready_.front());
        ready_.pop_front();
        if (connection == nullptr) continue;
        connection->in_ready_list = false;
        give_turn(*connection, 0);
    }
}

void Session::serve_deadlines() {
    if (deadlines_.empty()) return;
    const auto now = shared_.now();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
        Connection& connection = *connections_.find(deadlines_.begin()->second);
        deadlines_.erase(deadlines_.begin());
        connection.registered_deadline = never;
        const auto deadline = connection.deadline();
        if (deadline && *deadline <= now) connection.expire();
        // Enters it again where there is still, or again, a deadline.
        give_turn(connection, 0);
    }
}

void Session::watch_guard() {
    if (guard_.waiting() != watching_guard_writable_) {
        watching_guard_writable_ = guard_.waiting();
        const std::uint32_t events = EPOLLIN | (watching_guard_writable_ ? EPOLLOUT : 0U);
        if (!control(epoll_.get(), EPOLL_CTL_MOD, guard_.fd(), events, guard_token)) broken_ = true;
    }
    if (!guard_.relieved()) return;
    connections_.for_each([this](Connection& connection) { has_more_to_do(connection); });
}

}  // namespace postern::session
