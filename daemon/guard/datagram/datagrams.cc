#include "daemon/guard/datagram/datagrams.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/limits.h"
#include "daemon/guard/listen/refusal.h"

namespace postern {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr microseconds reply_patience = limits::datagram_patience;
// How long all wait for the room of one user's packet: what a session in order needs to answer
// many, and a fraction of what nobody notices.
constexpr milliseconds patience_of_others{20};
constexpr const char* too_many = "too many datagrams of this user are waiting to be answered";
// How long the guard's end waits for answers, and for replies to be sent.
constexpr milliseconds stop_time{2000};
constexpr milliseconds stop_poll_time{2};

std::vector<gid_t> groups_of_this_process() {
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
    groups.resize(static_cast<std::size_t>(
        std::max(::getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
    groups.push_back(::getegid());
    return groups;
}

// Those of this process, besides the caller's own; others are still not known.
void take_groups(policy::Caller& caller, std::vector<gid_t> groups) {
    groups.push_back(caller.gid);
    std::ranges::sort(groups);
    const auto twice = std::ranges::unique(groups);
    groups.erase(twice.begin(), twice.end());
    caller.groups = std::move(groups);
}

}  // namespace

Datagrams::Datagrams(ReadySet& ready, Turns& turns, std::vector<Listener> listeners,
                     SessionPool& pool, Audit& audit, std::optional<uid_t> only_uid)
    : ready_(ready),
      listeners_(std::make_move_iterator(listeners.begin()),
                 std::make_move_iterator(listeners.end())),
      pool_(pool),
      audit_(audit),
      only_uid_(only_uid),
      own_pid_(::getpid()),
      own_groups_(only_uid ? groups_of_this_process() : std::vector<gid_t>()),
      replies_(turns, [this] { send_replies(); }),
      waiting_(turns,
               {limits::datagrams_waiting_of_user, limits::datagrams,
                limits::datagram_bytes_waiting_of_user, limits::datagram_bytes},
               [this](Waiting& one) { return hand_over(one); }),
      patience_with_held_(
          ready.event(), [this] { give_up_held(); }, milliseconds(1)),
      patience_with_sessions_(ready.event(), [this] { look_for_the_late(); }),
      stopping_(ready.event(), [this] { finish_stopping(); }, milliseconds(1)) {}

Result<std::unique_ptr<Datagrams>> Datagrams::create(ReadySet& ready, Turns& turns,
                                                     std::vector<Listener> listeners,
                                                     SessionPool& pool, Audit& audit,
                                                     Dropper::Source dropper,
                                                     std::optional<uid_t> only_uid) {
    std::unique_ptr<Datagrams> datagrams(
        new Datagrams(ready, turns, std::move(listeners), pool, audit, only_uid));
    if (datagrams->listeners_.empty()) return datagrams;
    std::vector<int> sockets;
    for (const Listener& listener : datagrams->listeners_) {
        sockets.push_back(listener.socket.get());
    }
    POSTERN_TRY(auto replier, DatagramReplier::create(sockets, only_uid.has_value()));
    datagrams->replier_ = std::move(replier);
    POSTERN_TRY(datagrams->inbox_, DatagramInbox::create(sockets, dropper));
    return datagrams;
}

Status Datagrams::start() {
    if (const int r = add_defer(ready_.event(), again_, [this] { try_held_again(); }); r < 0) {
        return fail(std::string("datagrams: ") + std::strerror(-r));
    }
    sd_event_source_set_enabled(again_.get(), SD_EVENT_OFF);
    if (!inbox_) return {};
    if (const int r = ready_.add(packets_, inbox_->descriptor(), EPOLLIN,
                                 [this](std::uint32_t) { on_packets(); });
        r < 0) {
        return fail(std::string("datagrams: ") + std::strerror(-r));
    }
    inbox_->start();
    return {};
}

Status Datagrams::add(Listener listener) {
    POSTERN_TRY(replier_->add(listener.socket.get()));
    inbox_->add(listener.socket.get());
    listeners_.push_back(std::move(listener));
    return {};
}

void Datagrams::set_enabled(bool enabled) {
    packets_.change(enabled ? EPOLLIN : 0U);
}

void Datagrams::set_snapshot(const policy::Snapshot& snapshot) {
    if (inbox_) inbox_->set_reads_units(!snapshot.units.empty());
}

void Datagrams::on_packets() {
    if (held_) return;
    received_ = inbox_->take();
    take_received();
}

// All of them, or those before the one that is held.
void Datagrams::take_received() {
    while (!received_.empty() && !held_) {
        DatagramInbox::Item item = std::move(received_.front());
        received_.pop_front();
        using State = DatagramReceiver::Received::State;
        if (item.received.state == State::failed) {
            receive_failed(item.received.error);
            continue;
        }
        if (std::exchange(failing_, 0) != 0) spdlog::info("receiving datagrams: works again");
        take(item.socket, std::move(item.received.packet));
    }
}

void Datagrams::receive_failed(int error) {
    // Once, however long it lasts.
    if (std::exchange(failing_, error) == error) return;
    spdlog::error("receiving datagrams: {}; retrying continuously, senders wait in the meantime",
                  std::strerror(error));
}

void Datagrams::take(std::size_t number, DatagramPacket packet) {
    const std::string& listener = listeners_[number].name;
    if (!packet.peer) return refuse(listener, nullptr, packet.peer.error().message);
    Waiting one{{}, {}, listener, std::move(*packet.peer)};
    Peer& peer = one.peer;
    if (only_uid_) {
        if (peer.caller.uid != *only_uid_) {
            return refuse(listener, &peer,
                          "this daemon serves only uid " + std::to_string(*only_uid_));
        }
        // Jobs have the groups of the guard, and its user, who writes the action files, is taken to
        // have them too, since nobody's would else be allowed.
        take_groups(peer.caller, own_groups_);
    }
    pool_.charge(peer.caller);
    // A reply of ours never comes back to us, since it goes to files of its receiver's own. Were
    // there a way, it would have our credentials.
    if (peer.pid == own_pid_) return refuse(listener, &peer, "the daemon does not call itself");

    one.packet.too_long = packet.too_long;
    one.packet.descriptors = packet.descriptors;
    PacketOrigin& origin = one.origin;
    origin.socket = number;
    origin.reply_path = std::move(packet.reply_path);
    origin.bytes = packet.payload.size();
    origin.received = steady_clock::now();
    const uid_t payer = peer.caller.payer();
    const char* const put_aside = put_aside_.reason(payer, origin.received);
    if (packet.descriptors) put_aside_.for_descriptors(payer, origin.received);
    if (put_aside != nullptr) return refuse(one, put_aside);
    const char* const fault = packet.descriptors       ? "it carries descriptors"
                              : packet.too_long        ? "the datagram is too long"
                              : packet.payload.empty() ? "the datagram is empty"
                                                       : nullptr;
    one.packet.payload = std::move(packet.payload);
    if (fault != nullptr) {
        refuse(one, fault);
        if (origin.reply_path.empty()) return;  // there is nobody to tell
        origin.recorded = true;
        // The session knows what to say.
    }
    add(std::move(one));
}

// More than half of what may.
bool Datagrams::has_many_waiting(uid_t payer) const {
    return waiting_.size(payer) > limits::datagrams_waiting_of_user / 2 ||
           waiting_.bytes(payer) > limits::datagram_bytes_waiting_of_user / 2;
}

void Datagrams::add(Waiting one) {
    const uid_t payer = one.peer.caller.payer();
    if (slow_.contains(payer)) {
        if (has_many_waiting(payer)) return refuse(one, too_many);
        slow_.erase(payer);
    }
    const std::size_t bytes = one.origin.bytes;
    if (waiting_.add(payer, one, bytes)) return;
    // Without a timer nobody could be called slow.
    if (patience_with_held_.arm(patience_of_others) < 0) return refuse(one, too_many);
    held_ = std::move(one);
    set_enabled(false);
}

// There may be room for it, or none is to be had any more.
void Datagrams::try_held_again() {
    if (!held_) return;
    Waiting one = *std::move(held_);
    held_.reset();
    if (!waiting_.add(one.peer.caller.payer(), one, one.origin.bytes)) {
        held_ = std::move(one);
        return;
    }
    patience_with_held_.disarm();
    take_on();
}

// What came after the one that was held. Another one may be held now.
void Datagrams::take_on() {
    take_received();
    if (!held_) set_enabled(true);
}

void Datagrams::give_up_held() {
    try_held_again();
    if (!held_) return;
    const uid_t payer = held_->peer.caller.payer();
    // Not where others have taken all the room.
    if (has_many_waiting(payer)) slow_.insert(payer);
    refuse(*held_, too_many);
    held_.reset();
    take_on();
}

Dealt Datagrams::hand_over(Waiting& one) {
    if (held_) sd_event_source_set_enabled(again_.get(), SD_EVENT_ONESHOT);
    const MonotonicTime now = steady_clock::now();
    const char* const put_aside = put_aside_.reason(one.peer.caller.payer(), now);
    if (put_aside != nullptr && !one.origin.recorded) {
        refuse(one, put_aside);
        return Dealt::done;
    }
    std::string reason;
    const auto taken = pool_.admit(one.packet, one.origin, one.peer, one.listener, reason);
    if (taken == SessionPool::Taken::refused) refuse(one, reason);
    if (taken != SessionPool::Taken::full) return Dealt::done;
    if (!late_at_) {
        if (patience_with_sessions_.arm(reply_patience) < 0) {
            // Without a timer nobody could be called late.
            refuse(one, "no room for it");
            return Dealt::done;
        }
        late_at_ = now + reply_patience;
    }
    all_are_full_ = all_are_full_ || pool_.has_too_many_packets();
    return Dealt::later;
}

// There may be room in its sessions.
void Datagrams::resume(uid_t payer) {
    if (all_are_full_ && !pool_.has_too_many_packets()) {
        all_are_full_ = false;
        waiting_.resume_all();
    } else {
        waiting_.resume(payer);
    }
}

// Sessions that are late are ended in the next turn of the loop, which makes room.
void Datagrams::look_for_the_late() {
    const MonotonicTime now = steady_clock::now();
    // Where the guard itself did not get on, what sessions have answered waits to be read.
    const bool is_late_itself = now > late_at_.value_or(now) + reply_patience / 2;
    late_at_.reset();
    if (waiting_.size() == 0) return;
    if (!is_late_itself) pool_.end_those_with_packets_since(now - reply_patience);
    // Those that there are get on.
    constexpr microseconds soon = reply_patience / 4;
    if (patience_with_sessions_.arm(soon) >= 0) late_at_ = now + soon;
}

void Datagrams::packet_answered(const SessionProcess& session, ConnectionInfo info,
                                channel::Reply reply) {
    // Only where there is something to refuse: a caller may have 65,536 groups.
    const auto refuse_it = [&](const std::string& reason) {
        const Origin origin = session.origin_of(info);
        const Peer peer{*origin.caller, origin.pid, origin.unit};
        refuse(origin.listener, &peer, reason);
    };
    PacketOrigin& packet = *info.packet;
    const policy::Caller& caller = *session.caller();
    if (reply.fault != channel::PacketFault::none && !packet.recorded) {
        refuse_it(reply.fault == channel::PacketFault::no_message
                      ? "the datagram is not a valid message"
                      : "the call needs a connection");
    }
    if (!packet.reply_path.empty() && !reply.bytes.empty()) {
        const bool taken = replier_->add({packet.socket, caller.uid, caller.gid,
                                          std::move(packet.reply_path), std::move(reply.bytes)});
        if (!taken) refuse_it("its reply was dropped: too many replies are waiting to be sent");
        replies_.wanted();
    }
    resume(caller.payer());
}

void Datagrams::send_replies() {
    for (const std::string& failure : replier_->send()) spdlog::debug("{}", failure);
}

void Datagrams::packets_dropped(const SessionProcess& session) {
    for (const auto& [number, info] : session.connections()) {
        if (!info.packet) continue;
        const Origin origin = session.origin_of(info);
        const Peer peer{*origin.caller, origin.pid, origin.unit};
        refuse(origin.listener, &peer, "dropped: its session ended");
    }
    const uid_t payer = session.caller()->payer();
    if (!session.failure().empty()) put_aside_.for_its_session(payer, steady_clock::now());
    resume(payer);
}

void Datagrams::refuse(const Waiting& one, const std::string& reason) {
    refuse(one.listener, &one.peer, reason);
}

void Datagrams::refuse(const std::string& listener, const Peer* peer, const std::string& reason) {
    audit_refusal(audit_, AuditEvent::Kind::packet_refused, peer, listener, reason);
}

void Datagrams::stop(std::function<void()> done) {
    stopped_ = true;
    if (inbox_) inbox_->stop();
    if (is_idle()) return done();
    when_stopped_ = std::move(done);
    stop_until_ = steady_clock::now() + stop_time;
    if (stopping_.arm(microseconds(0)) < 0) std::exchange(when_stopped_, {})();
}

// Nothing that was received is still to be answered, nor a reply to be sent.
bool Datagrams::is_idle() const {
    const bool received_all = !inbox_ || inbox_->is_empty();
    return received_all && waiting() == 0 && pool_.packets() == 0 &&
           (!replier_ || replier_->pending() == 0);
}

void Datagrams::finish_stopping() {
    if (!is_idle() && steady_clock::now() < stop_until_ && stopping_.arm(stop_poll_time) >= 0) {
        return;
    }
    constexpr const char* reason = "dropped: the daemon stops";
    waiting_.drain([this](const Waiting& one) { refuse(one, reason); });
    if (held_) refuse(*held_, reason);
    held_.reset();
    set_enabled(false);
    if (inbox_) std::ranges::move(inbox_->take(), std::back_inserter(received_));
    for (const DatagramInbox::Item& item : std::exchange(received_, {})) {
        if (item.received.state == DatagramReceiver::Received::State::failed) continue;
        const auto& peer = item.received.packet.peer;
        refuse(listeners_[item.socket].name, peer ? &*peer : nullptr, reason);
    }
    std::exchange(when_stopped_, {})();
}

}  // namespace postern
