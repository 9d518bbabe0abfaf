#include "daemon/guard/sessions/session_process.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "base/limits.h"
#include "base/version.h"
#include "daemon/guard/sessions/hand_over.h"
#include "daemon/guard/sessions/session_call.h"

namespace postern {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::steady_clock;

constexpr microseconds patience = limits::session_patience;
// Between the end of the channel and SIGKILL: what a session in order needs to leave by itself.
constexpr microseconds time_to_leave = std::chrono::seconds(2);

// The buffer is for one message at a time and the loop is one thread: all sessions share it.
channel::Receiver& shared_receiver() {
    static channel::Receiver receiver(channel::Descriptors::refused);
    return receiver;
}

// The call in it; absent: it is one of the channel's own.
std::optional<Call> call_in(channel::ToGuard& body) {
    return std::visit(
        [](auto& one) -> std::optional<Call> {
            if constexpr (std::is_constructible_v<Call, decltype(std::move(one))>) {
                return Call(std::move(one));
            } else {
                return std::nullopt;
            }
        },
        body);
}

}  // namespace

Result<std::shared_ptr<SessionProcess>> SessionProcess::start(
    sd_event* event, Turns& turns, ConnectionCloser& closer, Audit& audit, SessionEvents& events,
    const SessionSettings& settings, const SessionKey& key, policy::SnapshotPtr snapshot,
    std::optional<SpareSession> spare) {
    const bool is_ready = spare.has_value();
    if (!spare) {
        POSTERN_TRY(spare, spawn_session(event, settings));
    }

    auto session =
        std::make_shared<SessionProcess>(event, turns, closer, audit, events, settings, key);
    SessionProcess& self = *session;
    self.channel_ = std::move(spare->channel);
    int r = add_io(event, self.channel_source_, self.channel_.get(), EPOLLIN | EPOLLET,
                   [&self](std::uint32_t /*revents*/) { self.turn_.ready(); });
    // There before it is needed: what marks a session must not fail.
    if (r >= 0) {
        r = add_defer(event, self.end_source_, [&self] { self.end_now(self.failure_); });
    }
    if (r < 0) return fail(std::string("session channel: ") + std::strerror(-r));
    sd_event_source_set_enabled(self.end_source_.get(), SD_EVENT_OFF);
    self.take_over(std::move(spare->child));
    self.acknowledged_ = steady_clock::now();
    if (is_ready) self.set_state(State::serving);
    self.greet(settings, std::move(snapshot));
    return session;
}

SessionProcess::SessionProcess(sd_event* event, Turns& turns, ConnectionCloser& closer,
                               Audit& audit, SessionEvents& events, const SessionSettings& settings,
                               const SessionKey& key)
    : event_(event),
      closer_(closer),
      audit_(audit),
      events_(events),
      idle_(settings.idle),
      key_(std::make_shared<const SessionKey>(key)),
      caller_(key_, &key_->caller),
      turn_(turns, key_->caller.payer(), [this] { return on_turn(); }),
      deadline_(event, [this] { on_deadline(); }),
      packets_(limits::datagrams_in_session, limits::datagram_bytes_in_session) {}

SessionProcess::~SessionProcess() {
    channel_source_.reset();
    channel_.reset();
    for (auto& waiting : waiting_) closer_.refuse(std::move(waiting.connection));
    for (auto& [id, info] : connections_) {
        if (info.socket) closer_.refuse(std::move(info.socket));
    }
}

void SessionProcess::take_over(std::unique_ptr<Child> child) {
    child_ = std::move(child);
    child_->set_exited([this](const std::string& how) { on_exit(how); });
}

// Only forward.
void SessionProcess::set_state(State state) {
    constexpr std::array<std::string_view, 5> names = {"starting", "serving", "marked", "ending",
                                                       "gone"};
    assert(state > state_);
    spdlog::debug("session {}: {} -> {}", pid(), names.at(static_cast<std::size_t>(state_)),
                  names.at(static_cast<std::size_t>(state)));
    state_ = state;
}

void SessionProcess::greet(const SessionSettings& settings, policy::SnapshotPtr snapshot) {
    const std::vector<gid_t>& groups = caller_->groups;
    send(
        {{},
         {},
         channel::Welcome{version, caller_->uid, caller_->gid,
                          static_cast<std::uint32_t>(groups.size()), settings.reply_output_bytes}});
    for (std::size_t i = 0; i < groups.size(); i += channel::groups_per_message) {
        const std::size_t end = std::min(i + channel::groups_per_message, groups.size());
        send({{},
              {},
              channel::Groups{{groups.begin() + static_cast<std::ptrdiff_t>(i),
                               groups.begin() + static_cast<std::ptrdiff_t>(end)}}});
    }
    set_snapshot(std::move(snapshot));
}

ConnectionInfo* SessionProcess::connection(channel::ConnectionId id) {
    const auto found = connections_.find(id);
    return found == connections_.end() ? nullptr : &found->second;
}

std::optional<MonotonicTime> SessionProcess::oldest_packet() const {
    for (const channel::ConnectionId id : packet_ids_) {
        const ConnectionInfo& info = connections_.at(id);
        // It is the guard that is asked for something meanwhile.
        if (info.packet && info.ongoing.empty()) return info.packet->received;
    }
    return std::nullopt;
}

void SessionProcess::keep(channel::ConnectionId id, channel::RequestId request,
                          std::unique_ptr<OngoingCall> call) {
    const bool added = connections_.at(id).ongoing.emplace(request, std::move(call)).second;
    assert(added);
    if (added) ++ongoing_calls_;
}

bool SessionProcess::take_hand_over(channel::ConnectionId id) {
    ConnectionInfo& info = connections_.at(id);
    return info.socket && !std::exchange(info.hands_over, true);
}

bool SessionProcess::hand_over(channel::ConnectionId id, const std::string& bytes,
                               const std::vector<UniqueFd>& descriptors) {
    UniqueFd socket = std::move(connections_.at(id).socket);
    const bool sent = socket && give_to_client(socket.get(), bytes, descriptors);
    if (socket) closer_.close(std::move(socket));
    return sent;
}

void SessionProcess::forget(channel::ConnectionId id, channel::RequestId request) {
    ConnectionInfo& info = connections_.at(id);
    ongoing_calls_ -= info.ongoing.erase(request);
    // From now on it is the session's turn.
    if (info.packet) info.packet->received = steady_clock::now();
}

// ---- To the session ----

void SessionProcess::add_connection(channel::ConnectionId id, UniqueFd connection,
                                    ConnectionInfo info) {
    connections_.emplace(id, std::move(info));
    waiting_.push_back({id, std::move(connection)});
    last_used_ = steady_clock::now();
    pump();
}

void SessionProcess::add_packet(channel::ConnectionId id, channel::Datagram packet, Origin origin,
                                PacketOrigin about) {
    last_used_ = about.received;
    packets_.add(about.bytes);
    packet_ids_.insert(id);
    connections_.emplace(id, ConnectionInfo{std::move(origin), true, std::move(about)});
    packets_waiting_.emplace_back(id, std::move(packet));
    pump();
}

void SessionProcess::send(channel::Envelope<channel::ToSession> message,
                          std::vector<UniqueFd> descriptors) {
    if (!serves()) return;
    if (outbox_.empty()) taken_ = steady_clock::now();
    if (const char* const fault = outbox_.add(channel::encode(message), std::move(descriptors))) {
        return end(fault);
    }
    pump();
}

void SessionProcess::set_snapshot(policy::SnapshotPtr snapshot) {
    if (!serves()) return;
    if (outbox_.empty()) taken_ = steady_clock::now();
    keeps_sockets_ = std::ranges::any_of(
        policy::granted(*snapshot, *caller_, key_->unit), [](const policy::Action* action) {
            const ActionDescription& described = action->description;
            return described.direct_output || described.input == Input::direct;
        });
    if (const char* const fault = outbox_.add_snapshot(std::move(snapshot), *caller_, key_->unit)) {
        return end(fault);
    }
    pump();
}

// Sends what waits, for as long as the channel takes it: messages and the set of actions first,
// then connections and packets, so that those never meet a session that does not know its actions
// yet.
void SessionProcess::pump() {
    if (!serves()) return;
    bool progress = false;
    const channel::Sent sent = outbox_.flush(channel_.get(), progress);
    if (progress) taken_ = steady_clock::now();
    if (sent == channel::Sent::ended) return channel_broke();
    if (sent == channel::Sent::sent && state_ == State::serving) {
        while (packets_waiting_.empty() ? pump_connection() : pump_packet()) {
        }
    }
    if (!serves()) return;
    const bool blocked =
        !outbox_.empty() ||
        (state_ == State::serving &&
         (!packets_waiting_.empty() ||
          (!waiting_.empty() && unacknowledged_ < limits::unacknowledged_connections)));
    // Where it is blocked, each time: the kernel looks anew then (epoll_ctl(2), EPOLL_CTL_MOD), and
    // what it was short of, if it was memory, it may have by now.
    if (std::exchange(blocked_, blocked) || blocked) {
        sd_event_source_set_io_events(channel_source_.get(),
                                      EPOLLIN | EPOLLET | (blocked ? EPOLLOUT : 0U));
    }
    arm_deadline();
}

bool SessionProcess::pump_packet() {
    const auto& [id, packet] = packets_waiting_.front();
    if (!send_now(channel::encode({id, {}, packet}), {})) return false;
    packets_waiting_.pop_front();
    return true;
}

// False: none waits, or no more can be sent now.
bool SessionProcess::pump_connection() {
    if (waiting_.empty() || unacknowledged_ >= limits::unacknowledged_connections) return false;
    auto& [id, connection] = waiting_.front();
    const Origin& origin = connections_.find(id)->second.origin;
    const channel::Connection about{origin.pid, origin.unit.value_or(""),
                                    origin.way == Way::administrator};
    const int descriptor = connection.get();
    if (!send_now(channel::encode({id, {}, about}), std::span(&descriptor, 1))) return false;
    if (keeps_sockets_) {
        connections_.find(id)->second.socket = std::move(connection);
    } else {
        // The session may have it and be done with it already, so this may be the last reference.
        closer_.close(std::move(connection));
    }
    waiting_.pop_front();
    if (unacknowledged_++ == 0) acknowledged_ = steady_clock::now();
    return true;
}

bool SessionProcess::send_now(const channel::Bytes& message, std::span<const int> descriptors) {
    const auto sent = channel::send_packet(channel_.get(), message, descriptors);
    if (sent == channel::Sent::ended) channel_broke();
    if (sent != channel::Sent::sent) return false;
    taken_ = steady_clock::now();
    return true;
}

void SessionProcess::channel_broke() {
    left_by_itself_ = true;  // or the kernel has too many descriptors in flight
    end("its channel broke");
}

// ---- From the session ----

// There is a message, the end, or room to send; or there was.
Turns::Step SessionProcess::on_turn() {
    if (!serves()) return {};
    const std::optional<std::size_t> bytes = receive();
    pump();
    return {bytes.value_or(0), bytes.has_value() && serves()};
}

std::optional<std::size_t> SessionProcess::receive() {
    channel::Received received = shared_receiver().receive(channel_.get());
    if (received.state == channel::Received::State::nothing) return std::nullopt;
    const std::size_t bytes = received.packet.size();
    if (received.refused_descriptors) {
        end("it sent descriptors");
    } else if (received.state == channel::Received::State::ended) {
        left_by_itself_ = true;
        end("it closed its channel");
    } else if (auto message = channel::decode_to_guard(received.packet)) {
        handle(*message);
    } else {
        end("it sent no valid message: " + message.error().message);
    }
    return bytes;
}

void SessionProcess::handle(channel::Envelope<channel::ToGuard>& message) {
    if (const auto* ready = std::get_if<channel::Ready>(&message.body)) return handle_ready(*ready);
    if (state_ != State::serving) return end("it spoke before it was ready");
    ConnectionInfo* const info = connection(message.connection);
    if (info == nullptr) return end("it named a connection that it does not have");
    // What it has not got it can't be done with: the answer to a packet that still waits would make
    // room for another one, without end.
    if (info->packet && !was_handed_over(message.connection, *info)) {
        return end("it used a datagram that it was not given");
    }
    if (auto* reply = std::get_if<channel::Reply>(&message.body)) {
        if (!info->packet) return end("it answered a connection as if it were a datagram");
        if (!info->ongoing.empty()) return end("it answered a datagram whose call is pending");
        return handle_reply(message.connection, *info->packet, *reply);
    }
    std::optional<Call> asked = call_in(message.body);
    if (!asked && info->packet) return end("it used a datagram as if it were a connection");
    if (std::holds_alternative<channel::Accepted>(message.body)) {
        return handle_accepted(message.connection, *info);
    }
    if (!info->packet && !info->acknowledged) {
        return end("it used a connection before acknowledging it");
    }
    last_used_ = steady_clock::now();
    if (!asked) {
        return handle_closed(message.connection, std::get<channel::Closed>(message.body).cause);
    }
    if (info->packet && std::exchange(info->packet->called, true)) {
        return end("it made two calls of one datagram");
    }
    auto link =
        std::make_unique<SessionCall>(weak_from_this(), message.connection, message.request);
    events_.session_called(std::make_shared<CallContext>(info->origin, std::move(link), audit_),
                           *asked);
}

void SessionProcess::handle_ready(const channel::Ready& ready) {
    if (state_ != State::starting) return end("it said twice that it is ready");
    if (ready.session_version != version) return end("it is of another version");
    set_state(State::serving);
    acknowledged_ = steady_clock::now();
    // on_turn() pumps
}

bool SessionProcess::was_handed_over(channel::ConnectionId id, const ConnectionInfo& info) const {
    if (info.packet) return packets_waiting_.empty() || id < packets_waiting_.front().first;
    return std::ranges::none_of(waiting_, [id](const Waiting& w) { return w.id == id; });
}

void SessionProcess::handle_accepted(channel::ConnectionId id, ConnectionInfo& info) {
    if (info.acknowledged || !was_handed_over(id, info)) {
        return end("it acknowledged a connection that it was not given");
    }
    info.acknowledged = true;
    --unacknowledged_;
    acknowledged_ = steady_clock::now();
}

void SessionProcess::handle_closed(channel::ConnectionId id, channel::CloseCause cause) {
    auto closed = connections_.extract(id);
    if (cause != channel::CloseCause::over) audit_dropped(closed.mapped().origin, cause);
    ongoing_calls_ -= closed.mapped().ongoing.size();
    if (closed.mapped().socket) closer_.close(std::move(closed.mapped().socket));
    for (const auto& [request, call] : closed.mapped().ongoing) call->left(jobs::Leaving::gone);
    events_.connection_closed(*this);
}

void SessionProcess::audit_dropped(const Origin& origin, channel::CloseCause cause) {
    AuditEvent event;
    event.kind = AuditEvent::Kind::connection_dropped;
    event.caller = origin.caller.get();
    event.pid = origin.pid;
    event.unit = origin.unit;
    event.listener = origin.listener;
    event.reason = cause == channel::CloseCause::holds_most
                       ? "it held most of more unread replies than a session may hold"
                       : "it read nothing for a minute while replies waited";
    audit_.write(event);
}

void SessionProcess::handle_reply(channel::ConnectionId id, PacketOrigin& packet,
                                  channel::Reply& reply) {
    if (reply.bytes.size() > limits::datagram_reply_bytes) {
        return end("its reply to a datagram is too long");
    }
    last_used_ = steady_clock::now();
    // Taken out first, so that it is answered once.
    packets_.remove(1, packet.bytes);
    packet_ids_.erase(id);
    PacketOrigin answered = std::move(packet);
    const auto known = connections_.extract(id);
    events_.packet_answered(known.mapped().origin, std::move(answered), std::move(reply));
}

// ---- Its end ----

std::optional<MonotonicTime> SessionProcess::waiting_since() const {
    std::optional<MonotonicTime> since;
    if (state_ == State::starting || unacknowledged_ > 0) since = acknowledged_;
    if (!outbox_.empty()) since = std::min(since.value_or(taken_), taken_);
    if (const auto oldest = oldest_packet()) since = std::min(since.value_or(*oldest), *oldest);
    return since;
}

// One timer for three reasons: a session that makes no progress, one that has nothing to do, one
// that does not leave.
void SessionProcess::arm_deadline() {
    if (state_ == State::ending) {
        (void)deadline_.arm(time_to_leave);
    } else if (const auto since = waiting_since()) {
        const auto waited = duration_cast<microseconds>(steady_clock::now() - *since);
        (void)deadline_.arm(std::max(patience - waited, microseconds(0)));
    } else if (connections_.empty()) {
        (void)deadline_.arm(idle_);
    } else {
        deadline_.disarm();
    }
}

void SessionProcess::on_deadline() {
    if (state_ == State::ending) {
        child_->kill();
    } else if (const auto since = waiting_since()) {
        if (steady_clock::now() - *since < patience) return arm_deadline();
        end(state_ == State::starting ? "it did not become ready"
                                      : "it does not acknowledge or read");
    } else if (connections_.empty()) {
        end("");
    }
}

void SessionProcess::end(const std::string& failure) {
    if (!serves()) return;
    set_state(State::marked);
    failure_ = failure;
    sd_event_source_set_enabled(end_source_.get(), SD_EVENT_ONESHOT);
}

void SessionProcess::end_now(const std::string& failure) {
    if (state_ >= State::ending) return;
    if (serves()) failure_ = failure;
    set_state(State::ending);
    end_source_.reset();
    channel_source_.reset();
    channel_.reset();
    for (auto& waiting : waiting_) closer_.refuse(std::move(waiting.connection));
    waiting_.clear();
    packets_waiting_.clear();
    outbox_.clear();
    // One that broke the rules gets no time; one whose channel ended is about to say how it died.
    if (!failure_.empty() && !left_by_itself_) child_->kill();
    arm_deadline();
    for (const auto& [id, info] : connections_) {
        for (const auto& [request, call] : info.ongoing) call->left(jobs::Leaving::interrupted);
    }
    events_.session_ended(*this);
    for (auto& [id, info] : connections_) {
        if (info.socket) closer_.refuse(std::move(info.socket));
    }
    connections_.clear();
    ongoing_calls_ = 0;
    packet_ids_.clear();
    packets_.remove(packets_.packets(), packets_.bytes());
}

void SessionProcess::on_exit(const std::string& how) {
    const auto self = shared_from_this();  // whoever is told may let it go
    if (serves()) left_by_itself_ = true;
    end_now(how);
    if (left_by_itself_) failure_ = how;
    set_state(State::gone);
    events_.session_gone(*this, failure_);
}

}  // namespace postern
