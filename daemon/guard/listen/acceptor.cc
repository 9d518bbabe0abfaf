#include "daemon/guard/listen/acceptor.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/guard/listen/identity.h"

namespace postern {
namespace {

// Connections that one turn of the loop takes from one listener.
constexpr int accepts_per_turn = 32;
// How long nothing is accepted after the process or the machine ran out of descriptors or memory.
// Those who connect wait in the backlog meanwhile.
constexpr std::uint64_t pause_usec = 200'000;

}  // namespace

Acceptor::Acceptor(sd_event* event, std::vector<Listener> listeners, SessionPool& pool,
                   std::optional<uid_t> only_uid)
    : event_(event), listeners_(std::move(listeners)), pool_(pool), only_uid_(only_uid) {}

Status Acceptor::start() {
    for (const Listener& listener : listeners_) {
        auto entry = std::make_unique<Source>(Source{this, &listener, {}});
        sd_event_source* source = nullptr;
        const int r = sd_event_add_io(event_, &source, listener.socket.get(), EPOLLIN,
                                      on_connection, entry.get());
        if (r < 0) return fail("listener " + listener.name + ": " + std::strerror(-r));
        entry->event.reset(source);
        // After the sessions, so that a flood of connections does not keep calls waiting.
        sd_event_source_set_priority(source, SD_EVENT_PRIORITY_NORMAL + 10);
        sources_.push_back(std::move(entry));
    }
    return {};
}

void Acceptor::stop() {
    stopped_ = true;
    set_enabled(false);
    resume_.reset();
}

void Acceptor::set_enabled(bool enabled) {
    for (const auto& source : sources_) {
        sd_event_source_set_enabled(source->event.get(), enabled ? SD_EVENT_ON : SD_EVENT_OFF);
    }
}

int Acceptor::on_connection(sd_event_source* /*source*/, int fd, std::uint32_t /*revents*/,
                            void* userdata) {
    const auto* entry = static_cast<Source*>(userdata);
    for (int i = 0; i < accepts_per_turn; ++i) {
        UniqueFd connection(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!connection) {
            // ECONNABORTED and the like concern that one connection (accept(2)).
            if (errno == EINTR || errno == ECONNABORTED || errno == EPERM || errno == EPROTO) {
                continue;
            }
            if (errno != EAGAIN) entry->acceptor->pause(errno);
            return 0;
        }
        if (std::exchange(entry->acceptor->failing_, 0) != 0) spdlog::info("accept: works again");
        entry->acceptor->take(*entry->listener, std::move(connection));
    }
    return 0;
}

void Acceptor::take(const Listener& listener, UniqueFd connection) {
    auto peer = identify(connection.get());
    if (!peer) {
        return pool_.refuse(std::move(connection), nullptr, listener.name, peer.error().message);
    }
    if (only_uid_ && peer->caller.uid != *only_uid_) {
        return pool_.refuse(std::move(connection), &*peer, listener.name,
                            "this guard serves uid " + std::to_string(*only_uid_) + " alone");
    }
    // Its file's mode says so already; a mode can be changed.
    if (listener.administrator && peer->caller.uid != only_uid_.value_or(0)) {
        return pool_.refuse(std::move(connection), &*peer, listener.name,
                            "the administrator's socket serves uid " +
                                std::to_string(only_uid_.value_or(0)) + " alone");
    }
    pool_.admit(std::move(connection), *peer, listener);
}

void Acceptor::pause(int error) {
    // Once, however long it lasts.
    if (failing_ != error) {
        spdlog::error("accept: {}; tried again every {} ms, callers wait meanwhile",
                      std::strerror(error), pause_usec / 1000);
    }
    failing_ = error;
    set_enabled(false);
    if (arm_timer(event_, resume_, pause_usec, on_resume, this) < 0) set_enabled(true);
}

int Acceptor::on_resume(sd_event_source* /*source*/, std::uint64_t /*time*/, void* userdata) {
    auto* self = static_cast<Acceptor*>(userdata);
    if (!self->stopped_) self->set_enabled(true);
    return 0;
}

}  // namespace postern
