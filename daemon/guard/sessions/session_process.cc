#include "daemon/guard/sessions/session_process.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "base/limits.h"
#include "base/version.h"
#include "daemon/guard/listen/socket_options.h"
#include "daemon/guard/sessions/child.h"
#include "daemon/loop/clock.h"

namespace postern {
namespace {

constexpr std::uint64_t patience_usec =
    std::chrono::duration_cast<std::chrono::microseconds>(limits::session_patience).count();
// Between the end of the channel and SIGKILL: what a session in order needs to leave by itself.
constexpr std::uint64_t leave_usec = 2'000'000;
// Packets of one session that one turn of the loop takes, so that a session that talks without end
// does not keep the others waiting.
constexpr int packets_per_turn = 64;

void kill_process(int pidfd) {
    // pidfd_send_signal(2), Linux 5.1; glibc 2.36 has no wrapper.
    (void)::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
}

// The buffer is for one packet at a time and the loop is one thread: all sessions share it.
channel::Receiver& shared_receiver() {
    static channel::Receiver receiver;
    return receiver;
}

}  // namespace

Result<std::unique_ptr<SessionProcess>> SessionProcess::start(sd_event* event, Closer& closer,
                                                              Events& events,
                                                              const SessionSettings& settings,
                                                              policy::Caller caller,
                                                              policy::SnapshotPtr snapshot) {
    POSTERN_TRY(auto pair, channel::make_pair());
    auto& [guard_end, session_end] = pair;
    refuse_descriptors(guard_end.get());

    auto session =
        std::make_unique<SessionProcess>(event, closer, events, settings, std::move(caller));
    session->channel_ = std::move(guard_end);
    sd_event_source* source = nullptr;
    int r = sd_event_add_io(event, &source, session->channel_.get(), EPOLLIN, on_channel,
                            session.get());
    if (r < 0) return fail(std::string("session channel: ") + std::strerror(-r));
    session->channel_source_.reset(source);
    POSTERN_TRY(session->spawn(settings, session_end.get()));
    session->acknowledged_usec_ = monotonic_usec();

    const policy::Caller& who = *session->caller_;
    channel::Welcome welcome;
    welcome.guard_version = version;
    welcome.uid = who.uid;
    welcome.gid = who.gid;
    welcome.group_count = static_cast<std::uint32_t>(who.groups.size());
    welcome.reply_output_bytes = settings.reply_output_bytes;
    session->send(welcome);
    for (std::size_t i = 0; i < who.groups.size(); i += channel::groups_per_message) {
        const std::size_t end = std::min(i + channel::groups_per_message, who.groups.size());
        session->send(channel::Groups{{who.groups.begin() + static_cast<std::ptrdiff_t>(i),
                                       who.groups.begin() + static_cast<std::ptrdiff_t>(end)}});
    }
    session->set_snapshot(std::move(snapshot));
    return session;
}

SessionProcess::SessionProcess(sd_event* event, Closer& closer, Events& events,
                               const SessionSettings& settings, policy::Caller caller)
    : event_(event),
      closer_(closer),
      events_(events),
      idle_usec_(settings.idle_usec),
      caller_(std::make_shared<const policy::Caller>(std::move(caller))) {}

SessionProcess::~SessionProcess() {
    channel_source_.reset();
    closer_.close(std::move(channel_));
    for (auto& waiting : waiting_) closer_.close(std::move(waiting.connection));
    if (pidfd_ && state_ != State::gone) kill_process(pidfd_.get());
}

Status SessionProcess::spawn(const SessionSettings& settings, int channel_end) {
    std::vector<std::string> arguments = {"postern-session"};
    if (settings.ids) {
        arguments.insert(arguments.end(), {"--uid", std::to_string(settings.ids->first), "--gid",
                                           std::to_string(settings.ids->second)});
    }
    POSTERN_TRY(auto pid, spawn_session(settings.program, arguments, channel_end));
    pid_ = pid;
    // Not reaped yet, so the number is still this child's.
    pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    sd_event_source* source = nullptr;
    int r = -errno;
    if (pidfd_) r = sd_event_add_io(event_, &source, pidfd_.get(), EPOLLIN, on_exit, this);
    if (r < 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        state_ = State::gone;
        return fail(std::string("session process: ") + std::strerror(-r));
    }
    exit_source_.reset(source);
    const rlimit descriptors{settings.descriptors, settings.descriptors};
    (void)::prlimit(pid_, RLIMIT_NOFILE, &descriptors, nullptr);
    return {};
}

void SessionProcess::set_state(State state) {
    state_ = state;
}

void SessionProcess::add_connection(std::uint64_t id, UniqueFd connection, ConnectionInfo info) {
    connections_.emplace(id, std::move(info));
    waiting_.push_back({id, std::move(connection)});
    last_used_usec_ = monotonic_usec();
    pump();
}

void SessionProcess::send(const channel::ToSession& message, std::vector<UniqueFd> descriptors) {
    if (state_ == State::ending || state_ == State::gone) return;
    if (queue_.empty() && !sending_) taken_usec_ = monotonic_usec();
    queue_.push_back({channel::encode(message), std::move(descriptors)});
    const Packet& packet = queue_.back();
    if (packet.bytes.size() > limits::packet_bytes) return end("an answer to it is too long");
    queue_bytes_ += packet.bytes.size();
    queue_descriptors_ += packet.descriptors.size();
    if (queue_bytes_ > limits::session_queue_bytes ||
        queue_descriptors_ > limits::session_queue_descriptors) {
        return end("it does not read what it is sent");
    }
    pump();
}

void SessionProcess::set_snapshot(policy::SnapshotPtr snapshot) {
    if (state_ == State::ending || state_ == State::gone) return;
    sending_ = std::move(snapshot);
    to_send_ = policy::granted(*sending_, *caller_);
    sent_ = 0;
    send(channel::SnapshotBegin{static_cast<std::uint32_t>(to_send_.size())});
}

// Sends what waits, for as long as the channel takes it: messages first, then the set of actions,
// then connections and packets, so that those never meet a session that does not know its actions
// yet.
void SessionProcess::pump() {
    while ((state_ == State::starting || state_ == State::serving) && pump_one()) {
    }
    if (state_ == State::starting || state_ == State::serving) {
        const bool blocked = !queue_.empty() || sending_ != nullptr ||
                             (state_ == State::serving && !packets_waiting_.empty());
        sd_event_source_set_io_events(channel_source_.get(), EPOLLIN | (blocked ? EPOLLOUT : 0U));
        arm_deadline();
    }
}

// False: nothing more can be sent now.
bool SessionProcess::pump_one() {
    if (!queue_.empty()) {
        if (!send_now(queue_.front())) return false;
        queue_bytes_ -= queue_.front().bytes.size();
        queue_descriptors_ -= queue_.front().descriptors.size();
        queue_.pop_front();
        return true;
    }
    if (sending_) {
        const bool last = sent_ == to_send_.size();
        const Packet packet{
            last ? channel::encode(channel::SnapshotEnd{})
                 : channel::encode(channel::SnapshotAction{to_send_[sent_]->description}),
            {}};
        if (!send_now(packet)) return false;
        ++sent_;
        if (last) {
            sending_.reset();
            to_send_.clear();
        }
        return true;
    }
    if (state_ != State::serving) return false;
    if (!packets_waiting_.empty()) return pump_packet();
    return !waiting_.empty() && unacknowledged_ < limits::unacknowledged_connections &&
           pump_connection();
}

bool SessionProcess::pump_connection() {
    auto& next = waiting_.front();
    const ConnectionInfo& info = connections_.find(next.id)->second;
    Packet packet{channel::encode(channel::Connection{next.id, info.pid, info.unit.value_or(""),
                                                      info.administrator}),
                  {}};
    packet.descriptors.push_back(std::move(next.connection));
    if (!send_now(packet)) {
        // send_now() may have ended the session, and with it the queue of connections.
        if (state_ == State::serving) {
            next.connection = std::move(packet.descriptors.front());
        } else {
            closer_.close(std::move(packet.descriptors.front()));
        }
        return false;
    }
    // The session may have it and be done with it already, so this may be the last reference.
    closer_.close(std::move(packet.descriptors.front()));
    waiting_.pop_front();
    if (unacknowledged_++ == 0) acknowledged_usec_ = monotonic_usec();
    return true;
}

bool SessionProcess::send_now(const Packet& packet) {
    std::vector<int> descriptors;
    descriptors.reserve(packet.descriptors.size());
    for (const auto& descriptor : packet.descriptors) descriptors.push_back(descriptor.get());
    switch (channel::send_packet(channel_.get(), packet.bytes, descriptors)) {
        case channel::Sent::sent:
            taken_usec_ = monotonic_usec();
            return true;
        case channel::Sent::full:
            return false;
        case channel::Sent::ended:
            left_by_itself_ = true;  // or the kernel has too many descriptors in flight
            end("its channel broke");
            return false;
    }
    return false;
}

std::optional<std::uint64_t> SessionProcess::waiting_since_usec() const {
    std::optional<std::uint64_t> since;
    if (state_ == State::starting || unacknowledged_ > 0) since = acknowledged_usec_;
    if (!queue_.empty() || sending_) since = std::min(since.value_or(taken_usec_), taken_usec_);
    if (const auto oldest = oldest_packet_usec()) {
        since = std::min(since.value_or(*oldest), *oldest);
    }
    return since;
}

// One timer for three reasons: a session that makes no progress, one that has nothing to do, one
// that does not leave.
void SessionProcess::arm_deadline() {
    std::uint64_t delay = 0;
    if (state_ == State::ending) {
        delay = leave_usec;
    } else if (const auto since = waiting_since_usec()) {
        const std::uint64_t waited = monotonic_usec() - *since;
        delay = waited < patience_usec ? patience_usec - waited : 0;
    } else if (connections_.empty()) {
        delay = idle_usec_;
    } else {
        if (deadline_) sd_event_source_set_enabled(deadline_.get(), SD_EVENT_OFF);
        return;
    }
    (void)arm_timer(event_, deadline_, delay, on_deadline, this);
}

int SessionProcess::on_deadline(sd_event_source* /*source*/, std::uint64_t /*time*/,
                                void* userdata) {
    auto* self = static_cast<SessionProcess*>(userdata);
    if (self->state_ == State::ending) {
        kill_process(self->pidfd_.get());
    } else if (const auto since = self->waiting_since_usec()) {
        if (monotonic_usec() - *since < patience_usec) {
            self->arm_deadline();
        } else {
            self->end(self->state_ == State::starting ? "it did not become ready"
                                                      : "it does not acknowledge or read");
        }
    } else if (self->connections_.empty()) {
        self->end("");
    }
    return 0;
}

int SessionProcess::on_channel(sd_event_source* /*source*/, int /*fd*/, std::uint32_t revents,
                               void* userdata) {
    auto* self = static_cast<SessionProcess*>(userdata);
    if ((revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) self->receive();
    if (self->state_ == State::starting || self->state_ == State::serving) self->pump();
    return 0;
}

void SessionProcess::receive() {
    for (int i = 0; i < packets_per_turn; ++i) {
        if (state_ != State::starting && state_ != State::serving) return;
        channel::Received received = shared_receiver().receive(channel_.get());
        const bool descriptors = !received.descriptors.empty();
        for (auto& descriptor : received.descriptors) closer_.close(std::move(descriptor));
        if (received.state == channel::Received::State::nothing && !descriptors) return;
        if (descriptors) return end("it sent descriptors");
        if (received.state == channel::Received::State::ended) {
            left_by_itself_ = true;
            return end("it closed its channel");
        }
        auto message = channel::decode_to_guard(received.packet);
        if (!message) return end("it sent no valid message: " + message.error().message);
        handle(*message);
    }
}

void SessionProcess::handle(const channel::ToGuard& message) {
    if (const auto* ready = std::get_if<channel::Ready>(&message)) {
        if (state_ != State::starting) return end("it said twice that it is ready");
        if (ready->session_version != version) return end("it is of another version");
        set_state(State::serving);
        acknowledged_usec_ = monotonic_usec();
        return;  // on_channel() pumps
    }
    if (state_ != State::serving) return end("it spoke before it was ready");
    const std::uint64_t id = std::visit(
        [](const auto& m) -> std::uint64_t {
            if constexpr (std::is_same_v<std::decay_t<decltype(m)>, channel::Ready>) {
                return 0;
            } else {
                return m.connection;
            }
        },
        message);
    const auto known = connections_.find(id);
    if (known == connections_.end()) return end("it named a connection that it does not have");
    if (known->second.packet) {
        last_used_usec_ = monotonic_usec();
        return handle_packet(id, known->second, message);
    }
    if (std::holds_alternative<channel::Reply>(message)) {
        return end("it answered a connection as if it were a packet");
    }
    if (std::holds_alternative<channel::Accepted>(message)) {
        const bool handed_over =
            std::ranges::none_of(waiting_, [id](const Waiting& w) { return w.id == id; });
        if (known->second.acknowledged || !handed_over) {
            return end("it acknowledged a connection that it was not given");
        }
        known->second.acknowledged = true;
        --unacknowledged_;
        acknowledged_usec_ = monotonic_usec();
        return;
    }
    if (!known->second.acknowledged) return end("it used a connection before acknowledging it");
    if (std::holds_alternative<channel::Closed>(message)) {
        connections_.erase(known);
        last_used_usec_ = monotonic_usec();
        events_.connection_closed(*this, id);
        return;
    }
    last_used_usec_ = monotonic_usec();
    events_.session_called(*this, message);
}

void SessionProcess::end(const std::string& failure) {
    if (state_ == State::ending || state_ == State::gone) return;
    set_state(State::ending);
    failure_ = failure;
    channel_source_.reset();
    closer_.close(std::move(channel_));
    for (auto& waiting : waiting_) closer_.close(std::move(waiting.connection));
    waiting_.clear();
    queue_.clear();
    queue_bytes_ = 0;
    queue_descriptors_ = 0;
    packets_waiting_.clear();
    sending_.reset();
    // One that broke the rules gets no time; one whose channel ended is about to say how it died.
    if (!failure.empty() && !left_by_itself_) kill_process(pidfd_.get());
    arm_deadline();
    events_.session_ended(*this);
    connections_.clear();
    packet_times_.clear();
    packet_bytes_ = 0;
    packets_full_ = false;
}

int SessionProcess::on_exit(sd_event_source* source, int /*fd*/, std::uint32_t /*revents*/,
                            void* userdata) {
    auto* self = static_cast<SessionProcess*>(userdata);
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    int status = 0;
    pid_t reaped = 0;
    do {
        reaped = ::waitpid(self->pid_, &status, 0);
    } while (reaped < 0 && errno == EINTR);
    std::string how = "its process ended with exit code " + std::to_string(WEXITSTATUS(status));
    if (WIFSIGNALED(status)) {
        how = "its process died of signal " + std::to_string(WTERMSIG(status));
    }
    if (self->state_ != State::ending) self->left_by_itself_ = true;
    self->end(how);
    if (self->left_by_itself_) self->failure_ = how;
    self->set_state(State::gone);
    self->events_.session_gone(*self, self->failure_);
    return 0;
}

}  // namespace postern
