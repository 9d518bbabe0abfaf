#include "daemon/guard/audit/audit_sink.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "host/unix_address.h"

namespace postern {
namespace {

constexpr std::size_t most_queued_common = 1024;
constexpr std::size_t most_queued_starts = 1024;
// The most that the limit "jobs" can be: as many may end while nothing can be written.
constexpr std::size_t most_queued_ends = 16384;
constexpr std::chrono::microseconds retry_time{100'000};

// How many may be queued, with one in that room.
std::size_t most_with(AuditRoom room) {
    if (room == AuditRoom::common) return most_queued_common;
    return most_queued_common + most_queued_starts +
           (room == AuditRoom::ends ? most_queued_ends : 0);
}

// Keeps what can't go out now until it can. Packets go whole or not at all.
class QueueingSink : public AuditSink {
  public:
    explicit QueueingSink(sd_event* event) : event_(event), timer_(event, [this] { flush(); }) {}

    bool write(const std::string& line, const AuditFields& fields, AuditRoom room) override {
        std::string fresh = packet(line, fields);
        Sent sent = queue_.empty() ? send(fresh) : Sent::full;
        if (sent == Sent::sent) return true;
        if (sent == Sent::never) return false;
        if (queue_.size() >= most_with(room)) return false;
        if (queue_.empty() && !wait(sent)) return false;
        queue_.push_back(std::move(fresh));
        return true;
    }

    Status ready() override {
        if (queue_.size() < most_with(AuditRoom::starts)) return {};
        return fail("audit: the " + std::string(name()) + " takes no records, " +
                    std::to_string(queue_.size()) + " wait for it");
    }

  protected:
    enum class Sent : std::uint8_t {
        sent,
        full,    // the reader is behind: wait until the descriptor is writable
        broken,  // there is no reader: try again after a while
        never,   // it is too long for any reader
    };
    virtual std::string packet(const std::string& line, const AuditFields& fields) = 0;
    // Never blocks.
    virtual Sent send(const std::string& packet) = 0;
    [[nodiscard]] virtual int descriptor() const = 0;

  private:
    bool wait(Sent why) {
        writable_.reset();
        if (why == Sent::full) {
            const auto go_on = [this](std::uint32_t) { flush(); };
            if (add_io(event_, writable_, descriptor(), EPOLLOUT, go_on) >= 0) return true;
        }
        return timer_.arm(retry_time) >= 0;
    }
    void flush() {
        while (!queue_.empty()) {
            const Sent sent = send(queue_.front());
            if (sent == Sent::full || sent == Sent::broken) {
                (void)wait(sent);
                return;
            }
            queue_.pop_front();
        }
        writable_.reset();
    }
    sd_event* event_;
    EventSource writable_;
    Timer timer_;
    std::deque<std::string> queue_;
};

class JournalSink final : public QueueingSink {
  public:
    JournalSink(sd_event* event, sockaddr_un address) : QueueingSink(event), address_(address) {}
    [[nodiscard]] const char* name() const override { return "journal"; }

    // Connected, so that the kernel tells when there is room again (unix(7), poll(2)).
    bool connect() {
        socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        return socket_ && ::connect(socket_.get(), any_address(address_), sizeof address_) == 0;
    }

  private:
    std::string packet(const std::string& /*line*/, const AuditFields& fields) override {
        std::string packet;
        for (const auto& [key, value] : fields)
            packet.append(key).append(1, '=').append(value).append(1, '\n');
        return packet;
    }
    Sent send(const std::string& packet) override {
        for (int tries = 0; tries < 2; ++tries) {
            ssize_t count = 0;
            do {
                count = ::send(socket_.get(), packet.data(), packet.size(),
                               MSG_DONTWAIT | MSG_NOSIGNAL);
            } while (count < 0 && errno == EINTR);
            if (count >= 0) return Sent::sent;
            if (errno == EAGAIN) return Sent::full;
            if (errno == EMSGSIZE) return Sent::never;
            // A journald that was started anew has a new socket.
            if (!connect()) break;
        }
        return Sent::broken;
    }
    [[nodiscard]] int descriptor() const override { return socket_.get(); }

    UniqueFd socket_;
    sockaddr_un address_;
};

class StderrSink final : public QueueingSink {
  public:
    explicit StderrSink(sd_event* event) : QueueingSink(event) {}
    [[nodiscard]] const char* name() const override { return "stderr"; }

  private:
    std::string packet(const std::string& line, const AuditFields& /*fields*/) override {
        return line + '\n';
    }
    // POLLOUT of a pipe promises room for PIPE_BUF bytes (pipe(7)). A longer record is written all
    // the same, in one call that may wait for its reader: half a record would be worse.
    Sent send(const std::string& packet) override {
        pollfd writable{STDERR_FILENO, POLLOUT, 0};
        if (::poll(&writable, 1, 0) != 1 || (writable.revents & POLLERR) != 0) return Sent::full;
        const ssize_t count = ::write(STDERR_FILENO, packet.data(), packet.size());
        return count == static_cast<ssize_t>(packet.size()) ? Sent::sent : Sent::broken;
    }
    [[nodiscard]] int descriptor() const override { return STDERR_FILENO; }
};

}  // namespace

Result<std::unique_ptr<AuditSink>> open_audit_journal(sd_event* event, const std::string& socket) {
    if (socket.size() > longest_socket_path) return fail("path too long");
    auto sink = std::make_unique<JournalSink>(event, unix_address(socket));
    if (!sink->connect()) return fail(std::strerror(errno));
    return std::unique_ptr<AuditSink>(std::move(sink));
}

std::unique_ptr<AuditSink> audit_to_stderr(sd_event* event) {
    return std::make_unique<StderrSink>(event);
}

}  // namespace postern
