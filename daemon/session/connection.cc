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
    : shared_(shared),
      id_(about.id),
      socket_(std::move(socket)),
      unit_(about.unit ? std::make_unique<const std::string>(*about.unit) : nullptr),
      pid_(about.pid),
      administrator_(about.administrator),
      alone_(about.alone) {}

// The one place where a connection changes its state, each of which is later than the one before.
void Connection::set_state(State state) {
    if (state <= state_) return;
    state_ = state;
    kept_.reset();
    input_paused_ = false;
}

Connection::Kept& Connection::kept() {
    if (!kept_) kept_ = std::make_unique<Kept>();
    return *kept_;
}

std::uint32_t Connection::wanted_events() const {
    std::uint32_t events = 0;
    if (!input_over_ && !input_paused_) events |= EPOLLIN;
    if (socket_.backlog() > 0) events |= EPOLLOUT;
    return events;
}

Connection::Next Connection::turn(std::uint32_t events) {
    const Next next = serve(events);
    Unsent* const unsent = socket_.unsent();
    if (unsent != nullptr && (unsent->read != socket_.total() || followed_)) {
        unsent->read = socket_.total();
        unsent->last_read = shared_.now();
    }
    followed_ = call_ && call_->follows();
    return next;
}

Connection::Next Connection::serve(std::uint32_t events) {
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        client_hung_up();
        return Next::gone;
    }
    if ((events & EPOLLOUT) != 0 && !socket_.flush(shared_.spare_unsent)) return Next::gone;
    std::string_view received;
    if ((events & EPOLLIN) != 0) {
        if (may_receive()) {
            received = receive();
        } else {
            input_paused_ = true;
        }
    }
    const bool more_output = proceed();
    const bool more_calls = begin_calls(received);
    if (state_ == State::gone || !socket_.flush(shared_.spare_unsent)) return Next::gone;
    if (call_) call_->tell_progress(shared_.now());
    if (socket_.backlog() == 0) {
        if (input_over_ && !call_ && !has_input()) return Next::gone;
        if (state_ == State::sent_away && !output_over_) {
            socket_.end_output();
            output_over_ = true;
        }
    }
    if (input_paused_ && may_receive()) {
        input_paused_ = false;
        if (kept_) kept_->last_input = shared_.now();
    }
    // Where the client does not read, EPOLLOUT says when to go on; where the guard does not, it is
    // the session that says it.
    const bool can_go_on = (more_output && socket_.backlog() == 0) || (more_calls && may_begin());
    return can_go_on ? Next::again : Next::wait;
}

bool Connection::may_receive() const {
    if (input_over_) return false;
    return state_ == State::sent_away || (!has_input() && may_begin());
}

bool Connection::may_begin() const {
    return !call_ && !shared_.guard.clogged() &&
           socket_.backlog() + shared_.longest_reply <= limits::client_backlog_bytes;
}

// What was received, until the next time; empty: nothing, or nothing to use.
std::string_view Connection::receive() {
    const auto input = socket_.receive(shared_.input);
    using InputState = ClientSocket::Input::State;
    if (input.state == InputState::ended) input_over_ = true;
    if (state_ == State::sent_away) return {};
    switch (input.state) {
        case InputState::nothing:
            break;
        case InputState::bytes:
            return {shared_.input.data(), input.count};
        case InputState::ended:
            if (mid_message()) {
                send_away("the input ended inside a message: a message ends with NUL or a newline");
            }
            break;
        case InputState::descriptors:
            send_away("no file descriptors may be sent along");
            break;
    }
    return {};
}

void Connection::client_hung_up() {
    // Whoever waits for a reply is gone. One-way calls wait for none: what was sent before the end
    // still counts.
    for (int i = 0; i < receives_after_hang_up && !call_ && state_ == State::open; ++i) {
        std::string_view rest =
            has_input() ? std::string_view(kept_->bytes).substr(kept_->used) : receive();
        if (rest.empty()) break;  // all is read, or it was no input to use
        Kept& kept = this->kept();
        while (const auto frame = kept.framer.next(rest)) {
            const auto call = protocol::decode_call(frame->text);
            if (!call || !call->oneway || shared_.guard.clogged()) continue;
            begin(*frame);
            call_.reset();
        }
        kept.used = kept.bytes.size();
    }
    set_state(State::gone);
}

// Whether more of the input is left than could be begun.
bool Connection::begin_calls(std::string_view received) {
    if (state_ != State::open) return false;
    std::string_view rest =
        has_input() ? std::string_view(kept_->bytes).substr(kept_->used) : received;
    for (int i = 0; i < calls_per_turn && !rest.empty() && may_begin(); ++i) {
        if (!mid_message() && begin_small(rest)) continue;
        if (!frame_and_begin(rest)) return false;
    }
    keep_rest(rest);
    return !rest.empty();
}

// False: the connection is at its end.
bool Connection::frame_and_begin(std::string_view& rest) {
    Kept& kept = this->kept();
    // It may point into the input or what is kept: both stay until the call is begun.
    const auto frame = kept.framer.next(rest);
    if (frame) begin(*frame);
    if (state_ != State::open) return false;
    if (kept.framer.too_long()) {
        send_away("a message may have at most " + std::to_string(limits::message_bytes) + " bytes");
        return false;
    }
    if (kept.framer.mid_message()) kept.last_input = shared_.now();
    return true;
}

// `rest`: of what is kept already, or of what was received just now.
void Connection::keep_rest(std::string_view rest) {
    if (rest.empty() && !mid_message()) {
        kept_.reset();
    } else if (rest.empty()) {
        kept_->bytes = {};
        kept_->used = 0;
    } else if (has_input()) {
        kept_->used = kept_->bytes.size() - rest.size();
    } else {
        kept().bytes.assign(rest);
        kept_->used = 0;
    }
}

bool Connection::begin_small(std::string_view& rest) {
    std::string_view after = rest;
    const auto small = protocol::next_small_call(after);
    if (!small || !serve_small(shared_.methods, context(), small->call, small->terminator,
                               socket_.waiting(shared_.spare_unsent))) {
        return false;
    }
    rest = after;
    last_terminator_ = small->terminator;
    last_oneway_ = false;
    return true;
}

Context Connection::context() const {
    return {shared_.caller, shared_.granted, pid_, unit_.get(), administrator_};
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
    Context context = this->context();
    context.more = call->more;
    context.oneway = call->oneway;
    Answer answer = dispatch(shared_.methods, context, call->method, call->parameters);
    if (auto* asked = std::get_if<Asked>(&answer)) {
        call_ = std::make_unique<PendingCall>(shared_, id_, std::move(*asked), *this);
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
    socket_.queue(text_of(parameters, continues), shared_.spare_unsent);
}

std::string Connection::text_of(const json& parameters, bool continues) const {
    return protocol::encode_reply(parameters, continues, last_terminator_);
}

void Connection::output(std::string_view job, const std::array<protocol::OutputPart, 2>& parts) {
    protocol::append_output_reply(socket_.waiting(shared_.spare_unsent), job, parts,
                                  last_terminator_);
}

void Connection::error(std::string_view error, const json& parameters) {
    if (last_oneway_) return;
    socket_.queue(protocol::encode_error(error, parameters, last_terminator_),
                  shared_.spare_unsent);
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
    kept().last_input = shared_.now();
}

std::optional<Clock::time_point> Connection::deadline() const {
    const auto input = input_deadline();
    const auto unread = unread_deadline();
    if (!input || !unread) return input ? input : unread;
    return std::min(*input, *unread);
}

std::optional<Clock::time_point> Connection::unread_deadline() const {
    const Unsent* const unsent = socket_.unsent();
    if (unsent == nullptr || !unsent->read || followed_) return std::nullopt;
    return unsent->last_read + limits::unread_patience;
}

std::optional<Clock::time_point> Connection::input_deadline() const {
    const bool silent = state_ == State::open && mid_message() && may_receive();
    if (!silent && state_ != State::sent_away) return std::nullopt;
    return kept_->last_input + limits::mid_message_silence;
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
