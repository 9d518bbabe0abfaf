#include "daemon/guard/datagram/datagrams.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/limits.h"
#include "daemon/guard/listen/refusal.h"

namespace postern {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr microseconds reply_patience = limits::datagram_patience;
constexpr microseconds penalty = limits::datagram_penalty;
// Packets that one turn of the loop takes.
constexpr int datagrams_per_turn = 16;
// ... and for how long: one may need a session to be started.
constexpr milliseconds time_in_turn{1};
// How long a sender is put aside whose packets carry descriptors: twice as long each time that it
// does so again soon.
constexpr microseconds first_time_aside = std::chrono::seconds(1);
constexpr microseconds longest_time_aside = std::chrono::seconds(64);
// How long the guard's end waits for answers, and for replies to be sent.
constexpr milliseconds stop_time{2000};
constexpr milliseconds stop_poll_time{2};

// Those of this process, besides the caller's own; others are still not known.
void take_own_groups(policy::Caller& caller) {
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
    groups.resize(static_cast<std::size_t>(
        std::max(::getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
    groups.insert(groups.end(), {::getegid(), caller.gid});
    std::ranges::sort(groups);
    const auto twice = std::ranges::unique(groups);
    groups.erase(twice.begin(), twice.end());
    caller.groups = std::move(groups);
}

}  // namespace

Datagrams::Datagrams(sd_event* event, std::vector<Listener> listeners, SessionPool& pool,
                     Audit& audit, std::optional<uid_t> only_uid)
    : event_(event),
      listeners_(std::move(listeners)),
      pool_(pool),
      audit_(audit),
      only_uid_(only_uid),
      timer_(event, [this] { on_timer(); }, milliseconds(1)) {}

Result<std::unique_ptr<Datagrams>> Datagrams::create(sd_event* event,
                                                     std::vector<Listener> listeners,
                                                     SessionPool& pool, Audit& audit,
                                                     std::optional<uid_t> only_uid) {
    std::unique_ptr<Datagrams> datagrams(
        new Datagrams(event, std::move(listeners), pool, audit, only_uid));
    if (datagrams->listeners_.empty()) return datagrams;
    std::vector<int> sockets;
    for (const Listener& listener : datagrams->listeners_) {
        sockets.push_back(listener.socket.get());
    }
    POSTERN_TRY(auto replier, DatagramReplier::create(sockets, only_uid.has_value()));
    datagrams->replier_ = std::move(replier);
    POSTERN_TRY(datagrams->inbox_, DatagramInbox::create(sockets));
    return datagrams;
}

Status Datagrams::start() {
    if (const int r = add_defer(event_, again_, [this] { go_on(); }); r < 0) {
        return fail(std::string("packets: ") + std::strerror(-r));
    }
    sd_event_source_set_enabled(again_.get(), SD_EVENT_OFF);
    if (!inbox_) return {};
    if (const int r = add_io(event_, packets_, inbox_->descriptor(), EPOLLIN,
                             [this](std::uint32_t) { on_packets(); });
        r < 0) {
        return fail(std::string("packets: ") + std::strerror(-r));
    }
    inbox_->start();
    return {};
}

void Datagrams::set_enabled(bool enabled) {
    if (packets_) sd_event_source_set_enabled(packets_.get(), enabled ? SD_EVENT_ON : SD_EVENT_OFF);
}

int Datagrams::arm(microseconds delay) {
    timer_due_ = steady_clock::now() + delay;
    return timer_.arm(delay);
}

void Datagrams::on_packets() {
    const auto until = steady_clock::now() + time_in_turn;
    for (int i = 0; i < datagrams_per_turn && !held_ && steady_clock::now() < until; ++i) {
        auto item = inbox_->take();
        if (!item) return;
        using State = DatagramReceiver::Received::State;
        if (item->received.state == State::failed) {
            receive_failed(item->received.error);
            continue;
        }
        if (std::exchange(failing_, 0) != 0) spdlog::info("receiving packets: works again");
        take(item->socket, std::move(item->received.packet));
    }
}

void Datagrams::receive_failed(int error) {
    // Once, however long it lasts.
    if (std::exchange(failing_, error) == error) return;
    spdlog::error("receiving packets: {}; tried again all the time, senders wait meanwhile",
                  std::strerror(error));
}

void Datagrams::take(std::size_t number, DatagramPacket packet) {
    const std::string& listener = listeners_[number].name;
    if (!packet.peer) return refuse(listener, nullptr, packet.peer.error().message);
    Held held{{}, {}, listener, std::move(*packet.peer)};
    Peer& peer = held.peer;
    if (only_uid_) {
        if (peer.caller.uid != *only_uid_) {
            return refuse(listener, &peer,
                          "this guard serves uid " + std::to_string(*only_uid_) + " alone");
        }
        // Jobs have the groups of the guard, and its user, who writes the action files, is taken to
        // have them too, since nobody's would else be allowed.
        take_own_groups(peer.caller);
    }
    pool_.charge(peer.caller);
    // A reply of ours never comes back to us, since it goes to files of its receiver's own. Were
    // there a way, it would have our credentials.
    if (peer.pid == ::getpid()) return refuse(listener, &peer, "the daemon does not call itself");

    held.packet.pid = peer.pid;
    held.packet.unit = peer.unit.value_or("");
    held.packet.too_long = packet.too_long;
    held.packet.descriptors = packet.descriptors;
    PacketOrigin& origin = held.origin;
    origin.socket = number;
    origin.reply_path = std::move(packet.reply_path);
    origin.bytes = packet.payload.size();
    origin.received = steady_clock::now();
    if (const char* const put_aside = refused_for_now(peer.caller.payer())) {
        if (packet.descriptors) sent_descriptors(peer.caller.payer());
        return refuse(listener, &peer, put_aside);
    }
    const char* const fault = packet.descriptors       ? "descriptors came along"
                              : packet.too_long        ? "the packet is too long"
                              : packet.payload.empty() ? "the packet is empty"
                                                       : nullptr;
    held.packet.payload = std::move(packet.payload);
    if (fault != nullptr) {
        refuse(listener, &peer, fault);
        if (packet.descriptors) sent_descriptors(peer.caller.payer());
        if (origin.reply_path.empty()) return;  // there is nobody to tell
        origin.recorded = true;
        // The session knows what to say.
    }
    if (hand_over(held)) return;
    held_ = std::move(held);
    set_enabled(false);
    if (arm(reply_patience) >= 0) return;
    // Without a timer nobody could be called late.
    refuse(listener, &held_->peer, "no room for it");
    go_on();
}

bool Datagrams::hand_over(Held& held) {
    // It may have been held since.
    const char* const put_aside = refused_for_now(held.peer.caller.payer());
    if (put_aside != nullptr && !held.origin.recorded) {
        refuse(held.listener, &held.peer, put_aside);
        return true;
    }
    std::string reason;
    const auto taken = pool_.admit(held.packet, held.origin, held.peer, held.listener, reason);
    if (taken == SessionPool::Taken::refused) refuse(held.listener, &held.peer, reason);
    return taken != SessionPool::Taken::full;
}

// From the loop: who tells of an answer or an end may be about to start a session itself.
void Datagrams::go_on_soon() {
    if (held_) sd_event_source_set_enabled(again_.get(), SD_EVENT_ONESHOT);
}

// There may be room for the packet that is held.
void Datagrams::go_on() {
    if (!held_) return;
    Held held = *std::move(held_);
    held_.reset();
    if (!hand_over(held)) {
        held_ = std::move(held);
        return;
    }
    set_enabled(true);
}

void Datagrams::on_timer() {
    // Where the guard itself did not get on, what sessions have answered waits to be read.
    if (held_ && steady_clock::now() > timer_due_ + reply_patience / 2 &&
        arm(reply_patience / 4) >= 0) {
        return;
    }
    if (when_stopped_) {
        finish_stopping();
    } else if (held_) {
        look_for_the_late();
    }
}

// Those that are late are ended in the next turn of the loop, which makes room.
void Datagrams::look_for_the_late() {
    pool_.end_those_with_packets_since(steady_clock::now() - reply_patience);
    // Those that there are get on.
    (void)arm(reply_patience / 4);
}

void Datagrams::packet_answered(const Origin& origin, PacketOrigin packet, channel::Reply reply) {
    // Only where there is something to refuse: a caller may have 65,536 groups.
    const auto refuse_it = [&](const std::string& reason) {
        const Peer peer{*origin.caller, origin.pid, origin.unit};
        refuse(origin.listener, &peer, reason);
    };
    if (reply.fault != channel::PacketFault::none && !packet.recorded) {
        refuse_it(reply.fault == channel::PacketFault::no_message ? "the packet is no message"
                                                                  : "the call needs a connection");
    }
    if (!packet.reply_path.empty() && !reply.bytes.empty()) {
        const bool sent = replier_->send({packet.socket, origin.caller->uid, origin.caller->gid,
                                          std::move(packet.reply_path), std::move(reply.bytes)});
        if (!sent) refuse_it("its reply was dropped: too many wait to be sent");
        for (const std::string& failure : replier_->take_failures()) spdlog::debug("{}", failure);
    }
    go_on_soon();
}

void Datagrams::packets_dropped(const SessionProcess& session) {
    for (const auto& [number, info] : session.connections()) {
        if (!info.packet) continue;
        const Peer peer{*session.caller(), info.origin.pid, info.origin.unit};
        refuse(info.origin.listener, &peer, "dropped: its session ended");
    }
    if (!session.failure().empty()) {
        refuse_for_now(session.caller()->payer(), penalty,
                       "refused for a while: a session of this user ended with packets unanswered");
    }
    go_on_soon();
}

const char* Datagrams::refused_for_now(uid_t payer) {
    const auto found = refused_.find(payer);
    return found != refused_.end() && steady_clock::now() < found->second.until
               ? found->second.reason
               : nullptr;
}

void Datagrams::refuse_for_now(uid_t payer, microseconds span, const char* reason) {
    refused_[payer] = {steady_clock::now() + span, span, reason};
}

// Each of its packets may have made all others wait (datagram_inbox.h).
void Datagrams::sent_descriptors(uid_t payer) {
    // Whoever was put aside lately is remembered for it.
    std::erase_if(refused_, [now = steady_clock::now()](const auto& entry) {
        return entry.second.until + longest_time_aside <= now;
    });
    const auto found = refused_.find(payer);
    const microseconds last = found == refused_.end() ? microseconds(0) : found->second.span;
    refuse_for_now(payer, std::clamp(last * 2, first_time_aside, longest_time_aside),
                   "refused for a while: packets of this user carry descriptors");
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
    if (arm(microseconds(0)) < 0) std::exchange(when_stopped_, {})();
}

// Nothing that was received is still to be answered, nor a reply to be sent.
bool Datagrams::is_idle() const {
    const bool received_all = !inbox_ || inbox_->is_empty();
    return received_all && !held_ && pool_.packets() == 0 &&
           (!replier_ || replier_->pending() == 0);
}

void Datagrams::finish_stopping() {
    if (!is_idle() && steady_clock::now() < stop_until_ && arm(stop_poll_time) >= 0) {
        return;
    }
    constexpr const char* reason = "dropped: the daemon stops";
    if (held_) refuse(held_->listener, &held_->peer, reason);
    held_.reset();
    set_enabled(false);
    while (const auto item = inbox_ ? inbox_->take() : std::nullopt) {
        const auto& peer = item->received.packet.peer;
        refuse(listeners_[item->socket].name, peer ? &*peer : nullptr, reason);
    }
    std::exchange(when_stopped_, {})();
}

}  // namespace postern
