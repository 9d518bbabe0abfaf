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
    ReadySet& ready, Turns& turns, ConnectionCloser& closer, Audit& audit, SessionEvents& events,
    const SessionSettings& settings, const SessionKey& key, policy::SnapshotPtr snapshot,
    std::optional<SpareSession> spare) {
    const bool is_ready = spare.has_value();
    if (!spare) {
        POSTERN_TRY(spare, spawn_session(ready.event(), settings));
    }

    auto session =
        std::make_shared<SessionProcess>(ready, turns, closer, audit, events, settings, key);
    SessionProcess& self = *session;
    self.channel_ = std::move(spare->channel);
    int r = ready.add(self.channel_source_, self.channel_.get(), EPOLLIN | EPOLLET,
                      [&self](std::uint32_t /*revents*/) { self.turn_.ready(); });
    // There before it is needed: what marks a session must not fail.
    if (r >= 0) {
        r = add_defer(ready.event(), self.end_source_, [&self] { self.end_now(self.failure_); });
    }
    if (r < 0) return fail(std::string("session channel: ") + std::strerror(-r));
    sd_event_source_set_enabled(self.end_source_.get(), SD_EVENT_OFF);
    self.take_over(std::move(spare->child));
    self.last_used_ = self.acknowledged_ = steady_clock::now();
    if (is_ready) self.set_state(State::serving);
    self.greet(settings, std::move(snapshot));
    return session;
}

SessionProcess::SessionProcess(ReadySet& ready, Turns& turns, ConnectionCloser& closer,
                               Audit& audit, SessionEvents& events, const SessionSettings& settings,
                               const SessionKey& key)
    : closer_(closer),
      audit_(audit),
      events_(events),
      idle_(settings.idle),
      key_(std::make_shared<const SessionKey>(key)),
      caller_(key_, &key_->caller),
      turn_(turns, key_->caller.payer(), [this] { return on_turn(); }),
      hand_over_(turns, [this] { hand_over_what_waits(); }),
      timer_(ready.event(), [this] { on_deadline(); }),
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

Origin SessionProcess::origin_of(const ConnectionInfo& info) const {
    const CameFrom& from = info.from;
    return {caller_, from.pid, from.unit.get(), *from.listener, from.way};
}

std::optional<MonotonicTime> SessionProcess::oldest_packet() const {
    if (packets_due_.empty()) return std::nullopt;
    return packets_due_.begin()->first;
}

void SessionProcess::keep(channel::ConnectionId id, channel::RequestId request,
                          std::unique_ptr<OngoingCall> call) {
    ConnectionInfo& info = connections_.at(id);
    if (!info.ongoing) info.ongoing = std::make_unique<OngoingCalls>();
    const bool added = info.ongoing->emplace(request, std::move(call)).second;
    assert(added);
    if (added) ++ongoing_calls_;
    // It is the guard that is asked for something meanwhile.
    if (info.packet) packets_due_.erase({info.packet->received, id});
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
    if (info.ongoing) ongoing_calls_ -= info.ongoing->erase(request);
    if (info.ongoing && info.ongoing->empty()) info.ongoing.reset();
    if (!info.packet) return;
    // From now on it is the session's turn.
    packets_due_.erase({info.packet->received, id});
    info.packet->received = steady_clock::now();
    if (!info.ongoing) packets_due_.emplace(info.packet->received, id);
}

// ---- To the session ----

void SessionProcess::add_connection(channel::ConnectionId id, UniqueFd connection, CameFrom from) {
    connections_.emplace(id, ConnectionInfo{std::move(from)});
    waiting_.push_back({id, std::move(connection)});
    last_used_ = steady_clock::now();
    pump();
}

void SessionProcess::add_packet(channel::Datagram packet, CameFrom from, PacketOrigin about) {
    last_used_ = about.received;
    packets_.add(about.bytes);
    packets_due_.emplace(about.received, packet.id);
    ConnectionInfo info{std::move(from)};
    info.acknowledged = true;
    info.packet = std::make_unique<PacketOrigin>(std::move(about));
    connections_.emplace(packet.id, std::move(info));
    packets_waiting_.push_back(std::move(packet));
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

// Sends what waits, for as long as the channel takes it: messages and the set of actions at once,
// then connections and packets, so that those never meet a session that does not know its actions
// yet.
void SessionProcess::pump() {
    if (!serves()) return;
    bool progress = false;
    const channel::Sent sent = outbox_.flush(channel_.get(), progress);
    if (progress) taken_ = steady_clock::now();
    if (sent == channel::Sent::ended) return channel_broke();
    const bool something_waits = !waiting_.empty() || !packets_waiting_.empty();
    if (outbox_.empty() && something_waits && state_ == State::serving) return hand_over_.wanted();
    watch_channel();
}

void SessionProcess::hand_over_what_waits() {
    if (state_ != State::serving || !outbox_.empty()) return;
    while (packets_waiting_.empty() ? pump_connections() : pump_packets()) {
    }
    if (serves()) watch_channel();
}

void SessionProcess::watch_channel() {
    const bool blocked =
        !outbox_.empty() ||
        (state_ == State::serving &&
         (!packets_waiting_.empty() ||
          (!waiting_.empty() && unacknowledged_ < limits::unacknowledged_connections)));
    // Where it is blocked, each time: the kernel looks anew then (epoll_ctl(2), EPOLL_CTL_MOD), and
    // what it was short of, if it was memory, it may have by now.
    if (std::exchange(blocked_, blocked) || blocked) {
        channel_source_.change(EPOLLIN | EPOLLET | (blocked ? EPOLLOUT : 0U));
    }
    arm_deadline();
}

// As many as one message holds. False: no more can be sent now.
bool SessionProcess::pump_packets() {
    channel::Datagrams given;
    std::size_t bytes = 0;
    for (const channel::Datagram& packet : packets_waiting_) {
        bytes += packet.payload.size() + packet.unit.value_or("").size();
        const bool has_room = given.all.size() < channel::connections_per_message &&
                              bytes <= channel::texts_per_message;
        if (!given.all.empty() && !has_room) break;
        given.all.push_back(packet);
    }
    if (!send_now(channel::encode({{}, {}, given}), {})) return false;
    const auto sent = static_cast<std::ptrdiff_t>(given.all.size());
    packets_waiting_.erase(packets_waiting_.begin(), packets_waiting_.begin() + sent);
    return true;
}

// False: none waits, or no more can be sent now.
bool SessionProcess::pump_connections() {
    const std::size_t count =
        std::min({waiting_.size(), limits::unacknowledged_connections - unacknowledged_,
                  channel::connections_per_message});
    if (count == 0) return false;
    channel::Connections given;
    std::vector<int> descriptors;
    for (std::size_t i = 0; i < count; ++i) {
        const auto& [id, connection] = waiting_[i];
        const CameFrom& from = connections_.at(id).from;
        // Of one that may carry descriptors the last reference is the closer's to let go.
        channel::Connection one{id, from.pid, std::nullopt, from.way == Way::administrator,
                                !keeps_sockets_ && from.bytes_only};
        if (from.unit.is_read()) one.unit = from.unit.get().value_or("");
        given.all.push_back(std::move(one));
        descriptors.push_back(connection.get());
    }
    if (!send_now(channel::encode({{}, {}, given}), descriptors)) return false;
    for (const channel::Connection& one : given.all) {
        UniqueFd connection = std::move(waiting_.front().connection);
        waiting_.pop_front();
        ConnectionInfo& info = connections_.at(one.id);
        info.handed_over = true;
        if (keeps_sockets_) {
            info.socket = std::move(connection);
        } else if (!one.alone) {
            // The session may have it and be done with it already.
            closer_.close(std::move(connection));
        }
    }
    if (unacknowledged_ == 0) acknowledged_ = steady_clock::now();
    unacknowledged_ += count;
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
    Turns::Step step = receive();
    pump();
    step.more = step.more && serves();
    return step;
}

// One message, if one is there.
Turns::Step SessionProcess::receive() {
    using ReceivedState = channel::Received::State;
    if (const auto held = std::move(held_)) {
        take(held->state, held->refused_descriptors, held->packet);
        return {held->packet.size(), true};
    }
    const auto [first, second] = shared_receiver().receive_two(channel_.get());
    if (first.state == ReceivedState::nothing) return {};
    const bool more = second.state != ReceivedState::nothing;
    if (more) {
        held_ = std::make_unique<const Held>(
            Held{second.state, second.refused_descriptors,
                 channel::Bytes(second.packet.begin(), second.packet.end())});
    }
    take(first.state, first.refused_descriptors, first.packet);
    return {first.packet.size(), more};
}

void SessionProcess::take(channel::Received::State state, bool refused_descriptors,
                          std::span<const std::uint8_t> packet) {
    if (refused_descriptors) {
        end("it sent descriptors");
    } else if (state == channel::Received::State::ended) {
        left_by_itself_ = true;
        end("it closed its channel");
    } else if (auto message = channel::decode_to_guard(packet)) {
        handle(*message);
    } else {
        end("it sent no valid message: " + message.error().message);
    }
}

void SessionProcess::handle(channel::Envelope<channel::ToGuard>& message) {
    if (const auto* ready = std::get_if<channel::Ready>(&message.body)) return handle_ready(*ready);
    if (state_ != State::serving) return end("it spoke before it was ready");
    if (const auto* accepted = std::get_if<channel::Accepted>(&message.body)) {
        return handle_accepted(*accepted);
    }
    if (const auto* closed = std::get_if<channel::Closed>(&message.body)) {
        return handle_closed(*closed);
    }
    if (auto* replies = std::get_if<channel::Replies>(&message.body)) {
        for (channel::Reply& reply : replies->all) {
            if (serves()) handle_reply(reply);
        }
        return;
    }
    ConnectionInfo* const info = connection(message.connection);
    if (info == nullptr) return end("it named a connection that it does not have");
    if (info->packet && !was_handed_over(message.connection, *info)) {
        return end("it used a datagram that it was not given");
    }
    if (!info->packet && !info->acknowledged) {
        return end("it used a connection before acknowledging it");
    }
    last_used_ = steady_clock::now();
    const std::optional<Call> asked = call_in(message.body);
    if (!asked) return;
    if (info->packet && std::exchange(info->packet->called, true)) {
        return end("it made two calls of one datagram");
    }
    auto link =
        std::make_unique<SessionCall>(weak_from_this(), message.connection, message.request);
    events_.session_called(std::make_shared<CallContext>(origin_of(*info), std::move(link), audit_),
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
    if (info.packet) return packets_waiting_.empty() || id < packets_waiting_.front().id;
    return info.handed_over;
}

// A connection of its own, and no packet. Null: it is ended.
ConnectionInfo* SessionProcess::own_connection(channel::ConnectionId id) {
    ConnectionInfo* const info = connection(id);
    if (info == nullptr) {
        end("it named a connection that it does not have");
    } else if (info->packet) {
        end("it used a datagram as if it were a connection");
    } else {
        return info;
    }
    return nullptr;
}

void SessionProcess::handle_accepted(const channel::Accepted& accepted) {
    for (const channel::ConnectionId id : accepted.all) {
        ConnectionInfo* const info = own_connection(id);
        if (info == nullptr) return;
        if (info->acknowledged || !was_handed_over(id, *info)) {
            return end("it acknowledged a connection that it was not given");
        }
        info->acknowledged = true;
        --unacknowledged_;
    }
    acknowledged_ = steady_clock::now();
}

void SessionProcess::handle_closed(const channel::Closed& closed) {
    for (const auto& [id, cause] : closed.all) {
        const ConnectionInfo* const info = own_connection(id);
        if (info == nullptr) return;
        if (!info->acknowledged) return end("it used a connection before acknowledging it");
        close_connection(id, cause);
    }
    last_used_ = steady_clock::now();
}

void SessionProcess::close_connection(channel::ConnectionId id, channel::CloseCause cause) {
    auto closed = connections_.extract(id);
    ConnectionInfo& info = closed.mapped();
    if (cause != channel::CloseCause::over) audit_dropped(origin_of(info), cause);
    if (info.socket) closer_.close(std::move(info.socket));
    if (info.ongoing) {
        ongoing_calls_ -= info.ongoing->size();
        for (const auto& [request, call] : *info.ongoing) call->left(jobs::Leaving::gone);
    }
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

void SessionProcess::handle_reply(channel::Reply& reply) {
    const channel::ConnectionId id = reply.id;
    const ConnectionInfo* const info = connection(id);
    if (info == nullptr) return end("it named a connection that it does not have");
    if (!info->packet) return end("it answered a connection as if it were a datagram");
    // What it has not got it can't be done with: the answer to a packet that still waits would make
    // room for another one, without end.
    if (!was_handed_over(id, *info)) return end("it used a datagram that it was not given");
    if (info->ongoing) return end("it answered a datagram whose call is pending");
    if (reply.bytes.size() > limits::datagram_reply_bytes) {
        return end("its reply to a datagram is too long");
    }
    last_used_ = steady_clock::now();
    // Taken out first, so that it is answered once.
    auto known = connections_.extract(id);
    ConnectionInfo& packet = known.mapped();
    packets_due_.erase({packet.packet->received, id});
    packets_.remove(1, packet.packet->bytes);
    events_.packet_answered(*this, std::move(packet), std::move(reply));
}

// ---- Its end ----

std::optional<MonotonicTime> SessionProcess::waiting_since() const {
    std::optional<MonotonicTime> since;
    if (state_ == State::starting || unacknowledged_ > 0) since = acknowledged_;
    if (!outbox_.empty()) since = std::min(since.value_or(taken_), taken_);
    if (const auto oldest = oldest_packet()) since = std::min(since.value_or(*oldest), *oldest);
    return since;
}

std::optional<MonotonicTime> SessionProcess::deadline() const {
    if (const auto since = waiting_since()) return *since + patience;
    if (connections_.empty()) return last_used_ + idle_;
    return std::nullopt;
}

// One timer for three reasons: a session that makes no progress, one that has nothing to do, one
// that does not leave. Once it is armed it is only ever brought forward: what was put off is looked
// at when it goes off, so that a connection that comes and goes costs no call for it.
void SessionProcess::arm_deadline() {
    const auto at = deadline();
    if (!at || (timer_at_ && *timer_at_ <= *at)) return;
    const auto left = std::chrono::ceil<microseconds>(*at - steady_clock::now());
    if (timer_.arm(std::max(left, microseconds(0))) >= 0) timer_at_ = at;
}

void SessionProcess::on_deadline() {
    timer_at_.reset();
    if (state_ == State::ending) return child_->kill();
    if (!serves()) return;
    if (deadline().value_or(MonotonicTime::max()) > steady_clock::now()) return arm_deadline();
    if (!waiting_since()) return end("");
    end(state_ == State::starting ? "it did not become ready" : "it does not acknowledge or read");
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
    held_.reset();
    for (auto& waiting : waiting_) closer_.refuse(std::move(waiting.connection));
    waiting_.clear();
    packets_waiting_.clear();
    outbox_.clear();
    // One that broke the rules gets no time; one whose channel ended is about to say how it died.
    if (!failure_.empty() && !left_by_itself_) child_->kill();
    (void)timer_.arm(time_to_leave);
    for (const auto& [id, info] : connections_) {
        if (!info.ongoing) continue;
        for (const auto& [request, call] : *info.ongoing) call->left(jobs::Leaving::interrupted);
    }
    events_.session_ended(*this);
    for (auto& [id, info] : connections_) {
        if (info.socket) closer_.refuse(std::move(info.socket));
    }
    connections_.clear();
    ongoing_calls_ = 0;
    packets_due_.clear();
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
