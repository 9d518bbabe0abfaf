#include "daemon/guard/listen/acceptor.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iterator>
#include <utility>

#include "daemon/guard/listen/identity.h"
#include "daemon/guard/listen/socket_options.h"

namespace postern {
namespace {

// Connections that one turn of the loop takes from one listener, at some 10 us each. A backlog that
// one user fills is everybody's: between two such turns a whole step of his may be done.
constexpr int accepts_per_turn = 32;
// How long nothing is accepted after the process or the machine ran out of descriptors or memory.
// Those who connect wait in the backlog meanwhile.
constexpr std::chrono::milliseconds pause_time{200};

policy::Caller of_ids(const ucred& credentials) {
    policy::Caller caller;
    caller.uid = credentials.uid;
    caller.gid = credentials.gid;
    caller.groups = {credentials.gid};
    return caller;
}

}  // namespace

Acceptor::Acceptor(ReadySet& ready, Turns& turns, std::vector<Listener> listeners,
                   ConnectionTaker& taker, OwnerQueue<Waiting>::Bounds bounds,
                   std::optional<uid_t> only_uid)
    : ready_(ready),
      listeners_(std::make_move_iterator(listeners.begin()),
                 std::make_move_iterator(listeners.end())),
      taker_(taker),
      only_uid_(only_uid),
      bounds_(bounds),
      highest_pinning_(LateUnit::highest_pinning()),
      waiting_(turns, bounds,
               [this](Waiting& one) {
                   pass_on(one);
                   return Dealt::done;
               }),
      resume_(ready.event(), [this] {
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
    const int socket = listener.socket.get();
    Watched& watched = watched_.emplace_back(Watched{listener, {}, refuses_descriptors(socket)});
    const int r = ready_.add(watched.source, socket, EPOLLIN,
                             [this, &watched](std::uint32_t) { on_connection(watched); });
    if (r == 0) return {};
    watched_.pop_back();
    return fail("listener " + listener.name + ": " + std::strerror(-r));
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
    for (const Watched& watched : watched_) watched.source.change(enabled ? EPOLLIN : 0U);
}

void Acceptor::on_connection(Watched& watched) {
    for (int i = 0; i < accepts_per_turn; ++i) {
        UniqueFd connection(::accept4(watched.listener.socket.get(), nullptr, nullptr,
                                      SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!connection) {
            // ECONNABORTED and the like concern that one connection (accept(2)).
            if (errno == EINTR || errno == ECONNABORTED || errno == EPERM || errno == EPROTO) {
                continue;
            }
            if (errno != EAGAIN) {
                pause(errno);
            } else {
                // What the backlog held when this guard began to refuse descriptors may carry some.
                watched.bytes_only = watched.refuses;
            }
            return;
        }
        if (std::exchange(failing_, 0) != 0) spdlog::info("accept: works again");
        take(watched, std::move(connection));
    }
}

void Acceptor::take(const Watched& watched, UniqueFd connection) {
    const Listener& listener = watched.listener;
    auto credentials = credentials_of(connection.get());
    if (!credentials) {
        return taker_.refuse(std::move(connection), nullptr, listener.name,
                             {credentials.error().message});
    }
    Waiting one{std::move(connection), *credentials, &listener, watched.bytes_only};
    if (waiting_.add(payer_of(*credentials), one)) return;
    refuse(one, {"too many connections at once",
                 waiting_.size() >= bounds_.all ? "connections" : "connectionsPerUser"});
}

// As far as it can be told now: whose the namespace is of a uid without account is not known yet.
uid_t Acceptor::payer_of(const ucred& credentials) const {
    policy::Caller caller = of_ids(credentials);
    caller.process_known = false;
    taker_.charge(caller);
    return caller.payer();
}

void Acceptor::refuse(Waiting& one, const WhyRefused& why) {
    Peer peer;
    peer.caller = of_ids(one.credentials);
    peer.pid = one.credentials.pid;
    taker_.charge(peer.caller);
    taker_.refuse(std::move(one.connection), &peer, one.listener->name, why);
}

void Acceptor::pass_on(Waiting& one) {
    const Listener& listener = *one.listener;
    PeerQuestions questions = taker_.questions(of_ids(one.credentials));
    // Descriptors have the lowest free numbers: of those that there may be, half are left to others
    // than processes that are pinned.
    questions.unit = questions.unit || one.connection.get() >= highest_pinning_;
    auto peer = identify(one.connection.get(), one.credentials, questions);
    if (!peer) return refuse(one, {peer.error().message});
    peer->bytes_only = one.bytes_only;
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
    taker_.admit(std::move(one.connection), *std::move(peer), listener);
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
