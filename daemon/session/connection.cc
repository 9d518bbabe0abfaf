#include "daemon/session/connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "protocol/call.h"

namespace postern::session {

using nlohmann::json;

namespace {

// Of one turn. A message costs at most some hundred microseconds.
constexpr int calls_per_turn = 64;
// What a client that hangs up may leave behind to be read: more than a socket's buffer holds.
constexpr int receives_after_hang_up = 8;

}  // namespace

Connection::Connection(UniqueFd socket, const channel::Connection& about, Shared& shared)
    : id_(about.id),
      socket_(std::move(socket)),
      pid_(about.pid),
      unit_(about.unit),
      administrator_(about.administrator),
      alone_(about.alone),
      shared_(shared) {}

// The one place where a connection changes its state, each of which is later than the one before.
void Connection::set_state(State state) {
    if (state <= state_) return;
    state_ = state;
    input_taken();
    input_paused_ = false;
}

// All of what was received is framed, or not wanted.
void Connection::input_taken() {
    input_.clear();
    input_used_ = 0;
    // One large batch must not cost its memory for the rest of the connection.
    if (input_.capacity() > std::size_t{16} * 1024) input_.shrink_to_fit();
}

std::uint32_t Connection::wanted_events() const {
    std::uint32_t events = 0;
    if (!input_over_ && !input_paused_) events |= EPOLLIN;
    if (socket_.backlog() > 0) events |= EPOLLOUT;
    return events;
}

Connection::Next Connection::turn(std::uint32_t events) {
    const Next next = serve(events);
    if (socket_.backlog() == 0) {
        read_.reset();
    } else if (read_ != socket_.total() || followed_) {
        read_ = socket_.total();
        last_read_ = shared_.now();
    }
    followed_ = call_ && call_->follows();
    return next;
}

Connection::Next Connection::serve(std::uint32_t events) {
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        client_hung_up();
        return Next::gone;
    }
    if ((events & EPOLLOUT) != 0 && !socket_.flush()) return Next::gone;
    if ((events & EPOLLIN) != 0) {
        if (may_receive()) {
            receive();
        } else {
            input_paused_ = true;
        }
    }
    const bool more_output = proceed();
    const bool more_calls = begin_calls();
    if (state_ == State::gone || !socket_.flush()) return Next::gone;
    if (call_) call_->tell_progress(shared_.now());
    if (socket_.backlog() == 0) {
        if (input_over_ && !call_ && input_.empty()) return Next::gone;
        if (state_ == State::sent_away && !output_over_) {
            socket_.end_output();
            output_over_ = true;
        }
    }
    if (input_paused_ && may_receive()) {
        input_paused_ = false;
        last_input_ = shared_.now();
    }
    // Where the client does not read, EPOLLOUT says when to go on; where the guard does not, it is
    // the session that says it.
    const bool can_go_on = (more_output && socket_.backlog() == 0) || (more_calls && may_begin());
    return can_go_on ? Next::again : Next::wait;
}

bool Connection::may_receive() const {
    if (input_over_) return false;
    return state_ == State::sent_away || (input_.empty() && may_begin());
}

bool Connection::may_begin() const {
    return !call_ && !shared_.guard.clogged() &&
           socket_.backlog() + shared_.longest_reply <= limits::client_backlog_bytes;
}

void Connection::receive() {
    const auto input = socket_.receive(shared_.input);
    using InputState = ClientSocket::Input::State;
    if (input.state == InputState::ended) input_over_ = true;
    if (state_ == State::sent_away) return;
    switch (input.state) {
        case InputState::nothing:
            break;
        case InputState::bytes:
            input_.assign(shared_.input.data(), input.count);
            break;
        case InputState::ended:
            if (framer_.mid_message()) {
                send_away("the input ended inside a message: a message ends with NUL or a newline");
            }
            break;
        case InputState::descriptors:
            send_away("no file descriptors may be sent along");
            break;
    }
}

void Connection::client_hung_up() {
    // Whoever waits for a reply is gone. One-way calls wait for none: what was sent before the end
    // still counts.
    for (int i = 0; i < receives_after_hang_up && !call_ && state_ == State::open; ++i) {
        if (input_.empty()) receive();
        if (input_.empty()) break;  // all is read, or it was no input to use
        std::string_view rest = std::string_view(input_).substr(input_used_);
        while (const auto frame = framer_.next(rest)) {
            const auto call = protocol::decode_call(frame->text);
            if (!call || !call->oneway || shared_.guard.clogged()) continue;
            begin(*frame);
            call_.reset();
        }
        input_taken();
    }
    set_state(State::gone);
}

bool Connection::begin_calls() {
    for (int i = 0; i < calls_per_turn && !input_.empty(); ++i) {
        if (!may_begin()) break;
        std::string_view rest = std::string_view(input_).substr(input_used_);
        const auto frame = framer_.next(rest);
        // The frame may point into the input: that stays as it is until the call is begun.
        if (frame) begin(*frame);
        if (state_ == State::sent_away || state_ == State::gone) return false;
        if (rest.empty()) {
            input_taken();
        } else {
            input_used_ = input_.size() - rest.size();
        }
        if (framer_.too_long()) {
            send_away("a message may have at most " + std::to_string(limits::message_bytes) +
                      " bytes");
            return false;
        }
        if (framer_.mid_message()) last_input_ = shared_.now();
    }
    return !input_.empty();
}

void Connection::begin(const protocol::Frame& frame) {
    last_terminator_ = frame.terminator;
    const auto call = protocol::decode_call(frame.text);
    last_oneway_ = call && call->oneway;
    if (!call) {
        return error(protocol::errors::invalid_message, {{"message", call.error().message}});
    }
    if (call->upgrade) {
        return error(protocol::errors::invalid_parameter, {{"parameter", "upgrade"}});
    }
    const Context context{shared_.caller, shared_.granted, pid_,       unit_,
                          administrator_, false,           call->more, call->oneway};
    Answer answer = dispatch(shared_.methods, context, call->method, call->parameters);
    if (auto* asked = std::get_if<Asked>(&answer)) {
        call_.emplace(shared_, id_, std::move(*asked), *this);
    } else if (const auto* rejected = std::get_if<Rejected>(&answer)) {
        error(rejected->error, rejected->parameters);
    } else {
        reply(std::get<Answered>(answer).parameters, false);
    }
}

// Whether there is more to send as soon as there is room.
bool Connection::proceed() {
    const bool more = call_ && call_->proceed();
    if (call_ && call_->ended()) call_.reset();
    return more;
}

void Connection::reply(const json& parameters, bool continues) {
    if (last_oneway_) return;
    socket_.queue(text_of(parameters, continues));
}

std::string Connection::text_of(const json& parameters, bool continues) const {
    return protocol::encode_reply(parameters, continues, last_terminator_);
}

void Connection::output(std::string_view job, const std::array<protocol::OutputPart, 2>& parts) {
    protocol::append_output_reply(socket_.waiting(), job, parts, last_terminator_);
}

void Connection::error(std::string_view error, const json& parameters) {
    if (last_oneway_) return;
    socket_.queue(protocol::encode_error(error, parameters, last_terminator_));
}

// Output never makes a session hold so much that a client must be dropped, however many follow jobs
// and do not read: who would lose what the job goes on to write. Once half of it is there, each
// that has nothing waiting gets a little at a time.
std::size_t Connection::room() const {
    if (shared_.backlog > limits::session_backlog_bytes / 2) {
        return socket_.backlog() > 0 ? 0 : small_chunk_bytes;
    }
    return socket_.backlog() > limits::client_backlog_bytes / 2 ? 0 : chunk_bytes;
}

std::uint64_t Connection::queued() const {
    return socket_.total() + socket_.backlog();
}

// An error that ends the connection. The client may still be writing: its input is taken and thrown
// away until it has read the reply and goes, since a connection that is closed on it would take the
// reply along.
void Connection::send_away(std::string_view message) {
    if (state_ >= State::sent_away) return;
    last_oneway_ = false;
    error(protocol::errors::invalid_message, {{"message", message}});
    set_state(State::sent_away);
    last_input_ = shared_.now();
}

std::optional<Clock::time_point> Connection::deadline() const {
    const auto input = input_deadline();
    const auto unread = unread_deadline();
    if (!input || !unread) return input ? input : unread;
    return std::min(*input, *unread);
}

std::optional<Clock::time_point> Connection::unread_deadline() const {
    if (!read_ || followed_) return std::nullopt;
    return last_read_ + limits::unread_patience;
}

std::optional<Clock::time_point> Connection::input_deadline() const {
    const bool silent = state_ == State::open && framer_.mid_message() && may_receive();
    if (!silent && state_ != State::sent_away) return std::nullopt;
    return last_input_ + limits::mid_message_silence;
}

void Connection::expire() {
    const auto unread = unread_deadline();
    if (unread && *unread <= shared_.now()) {
        cause_ = channel::CloseCause::reads_nothing;
        return set_state(State::gone);
    }
    if (state_ == State::sent_away) {
        set_state(State::gone);
        return;
    }
    send_away("nothing came for " + std::to_string(limits::mid_message_silence.count()) +
              " seconds inside a message: a message ends with NUL or a newline");
}

}  // namespace postern::session
