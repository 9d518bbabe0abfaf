#include "daemon/guard/listen/acceptor.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <iterator>
#include <utility>

#include "daemon/guard/listen/identity.h"

namespace postern {
namespace {

// Connections that one turn of the loop takes from one listener, at some 10 us each. A backlog that
// one user fills is everybody's: between two such turns a whole step of his may be done.
constexpr int accepts_per_turn = 32;
// How long nothing is accepted after the process or the machine ran out of descriptors or memory.
// Those who connect wait in the backlog meanwhile.
constexpr std::chrono::milliseconds pause_time{200};

}  // namespace

Acceptor::Acceptor(sd_event* event, Turns& turns, std::vector<Listener> listeners,
                   ConnectionTaker& taker, OwnerQueue<Waiting>::Bounds bounds,
                   std::optional<uid_t> only_uid)
    : event_(event),
      listeners_(std::make_move_iterator(listeners.begin()),
                 std::make_move_iterator(listeners.end())),
      taker_(taker),
      only_uid_(only_uid),
      bounds_(bounds),
      waiting_(turns, bounds,
               [this](Waiting& one) {
                   pass_on(one);
                   return Dealt::done;
               }),
      resume_(event, [this] {
          if (!stopped_) set_enabled(true);
      }) {}

Acceptor::~Acceptor() {
    waiting_.drain([this](Waiting& one) { refuse(one, {"the daemon stops"}); });
}

Status Acceptor::start() {
    started_ = true;
    for (const Listener& listener : listeners_) POSTERN_TRY(watch(listener));
    return {};
}

Status Acceptor::watch(const Listener& listener) {
    EventSource source;
    const int r = add_io(event_, source, listener.socket.get(), EPOLLIN,
                         [this, &listener](std::uint32_t) { on_connection(listener); });
    if (r < 0) return fail("listener " + listener.name + ": " + std::strerror(-r));
    sources_.push_back(std::move(source));
    return {};
}

Status Acceptor::add(Listener listener) {
    listeners_.push_back(std::move(listener));
    if (!started_ || stopped_) return {};
    return watch(listeners_.back());
}

void Acceptor::stop() {
    stopped_ = true;
    set_enabled(false);
    resume_.disarm();
}

void Acceptor::set_enabled(bool enabled) {
    for (const auto& source : sources_) {
        sd_event_source_set_enabled(source.get(), enabled ? SD_EVENT_ON : SD_EVENT_OFF);
    }
}

void Acceptor::on_connection(const Listener& listener) {
    for (int i = 0; i < accepts_per_turn; ++i) {
        UniqueFd connection(
            ::accept4(listener.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!connection) {
            // ECONNABORTED and the like concern that one connection (accept(2)).
            if (errno == EINTR || errno == ECONNABORTED || errno == EPERM || errno == EPROTO) {
                continue;
            }
            if (errno != EAGAIN) pause(errno);
            return;
        }
        if (std::exchange(failing_, 0) != 0) spdlog::info("accept: works again");
        take(listener, std::move(connection));
    }
}

void Acceptor::take(const Listener& listener, UniqueFd connection) {
    auto credentials = credentials_of(connection.get());
    if (!credentials) {
        return taker_.refuse(std::move(connection), nullptr, listener.name,
                             {credentials.error().message});
    }
    Waiting one{std::move(connection), *credentials, &listener};
    if (waiting_.add(payer_of(*credentials), one)) return;
    refuse(one, {"too many connections at once",
                 waiting_.size() >= bounds_.all ? "connections" : "connectionsPerUser"});
}

// As far as it can be told now: whose the namespace is of a uid without account is not known yet.
uid_t Acceptor::payer_of(const ucred& credentials) const {
    policy::Caller caller;
    caller.uid = credentials.uid;
    caller.process_known = false;
    taker_.charge(caller);
    return caller.payer();
}

void Acceptor::refuse(Waiting& one, const WhyRefused& why) {
    Peer peer;
    peer.caller.uid = one.credentials.uid;
    peer.caller.gid = one.credentials.gid;
    peer.caller.groups = {one.credentials.gid};
    peer.pid = one.credentials.pid;
    taker_.charge(peer.caller);
    taker_.refuse(std::move(one.connection), &peer, one.listener->name, why);
}

void Acceptor::pass_on(Waiting& one) {
    const Listener& listener = *one.listener;
    auto peer = identify(one.connection.get(), one.credentials);
    if (!peer) return refuse(one, {peer.error().message});
    taker_.charge(peer->caller);
    if (only_uid_ && peer->caller.uid != *only_uid_) {
        return taker_.refuse(std::move(one.connection), &*peer, listener.name,
                             {"this daemon serves only uid " + std::to_string(*only_uid_)});
    }
    // Its file's mode says so already; a mode can be changed.
    if (listener.administrator && peer->caller.uid != only_uid_.value_or(0)) {
        return taker_.refuse(
            std::move(one.connection), &*peer, listener.name,
            {"the administration socket serves only uid " + std::to_string(only_uid_.value_or(0))});
    }
    taker_.admit(std::move(one.connection), *peer, listener);
}

void Acceptor::pause(int error) {
    // Once, however long it lasts.
    if (failing_ != error) {
        spdlog::error("accept: {}; retrying every {} ms, callers wait in the meantime",
                      std::strerror(error), pause_time.count());
    }
    failing_ = error;
    set_enabled(false);
    if (resume_.arm(pause_time) < 0) set_enabled(true);
}

}  // namespace postern
