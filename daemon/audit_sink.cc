#include "daemon/audit_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/utf8.h"

namespace postern {
namespace {

constexpr std::size_t most_queued = 1024;
constexpr std::uint64_t retry_usec = 100'000;

class FileSink final : public AuditSink {
  public:
    explicit FileSink(UniqueFd file) : file_(std::move(file)) {}

    bool write(const std::string& line, const AuditFields& /*fields*/) override {
        const std::string text = (half_line_ ? "\n" : "") + line + '\n';
        ssize_t count = 0;
        do {
            count = ::write(file_.get(), text.data(), text.size());
        } while (count < 0 && errno == EINTR);
        if (count == static_cast<ssize_t>(text.size())) {
            half_line_ = false;
            return true;
        }
        if (count > 0) take_back(count);
        return false;
    }
    [[nodiscard]] const char* name() const override { return "file"; }

  private:
    // The disk is full and half a line is written: remove it, so that every line is a whole record.
    // Where even that fails, the next record ends the half line first.
    void take_back(ssize_t count) {
        struct stat status {};
        half_line_ = ::fstat(file_.get(), &status) != 0 || status.st_size < count ||
                     ::ftruncate(file_.get(), status.st_size - count) != 0;
    }

    bool half_line_ = false;
    UniqueFd file_;
};

// Keeps what can't go out now and tries again. Packets go whole or not at all.
class QueueingSink : public AuditSink {
  public:
    explicit QueueingSink(sd_event* event) : event_(event) {}

    bool write(const std::string& line, const AuditFields& fields) override {
        if (queue_.empty() && send(packet(line, fields))) return true;
        if (queue_.size() >= most_queued) return false;
        queue_.push_back(packet(line, fields));
        if (arm_timer(event_, timer_, retry_usec, retry, this) < 0) {
            queue_.pop_back();
            return false;
        }
        return true;
    }

  protected:
    virtual std::string packet(const std::string& line, const AuditFields& fields) = 0;
    // Never blocks; false: try again later.
    virtual bool send(const std::string& packet) = 0;

  private:
    static int retry(sd_event_source* /*source*/, std::uint64_t /*time*/, void* userdata) {
        auto* self = static_cast<QueueingSink*>(userdata);
        while (!self->queue_.empty() && self->send(self->queue_.front())) self->queue_.pop_front();
        if (!self->queue_.empty()) {
            (void)arm_timer(self->event_, self->timer_, retry_usec, retry, self);
        }
        return 0;
    }

    sd_event* event_;
    EventSource timer_;
    std::deque<std::string> queue_;
};

class JournalSink final : public QueueingSink {
  public:
    JournalSink(sd_event* event, UniqueFd socket, sockaddr_un address)
        : QueueingSink(event), socket_(std::move(socket)), address_(address) {}
    [[nodiscard]] const char* name() const override { return "journal"; }

  private:
    std::string packet(const std::string& /*line*/, const AuditFields& fields) override {
        std::string packet;
        for (const auto& [key, value] : fields) packet += key + '=' + value + '\n';
        return packet;
    }
    bool send(const std::string& packet) override {
        ssize_t count = 0;
        do {
            count =
                ::sendto(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                         reinterpret_cast<const sockaddr*>(&address_), sizeof address_);
        } while (count < 0 && errno == EINTR);
        return count >= 0;
    }

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
    bool send(const std::string& packet) override {
        pollfd writable{STDERR_FILENO, POLLOUT, 0};
        if (::poll(&writable, 1, 0) != 1 || (writable.revents & POLLOUT) == 0) return false;
        // POLLOUT of a pipe promises room for PIPE_BUF bytes; a longer record goes in pieces that
        // the next retry can't continue, so it is sent in one write and may wait for its reader.
        return ::write(STDERR_FILENO, packet.data(), packet.size()) ==
               static_cast<ssize_t>(packet.size());
    }
};

}  // namespace

Result<std::unique_ptr<AuditSink>> open_audit_file(const std::string& path) {
    const std::string who = "audit file " + printable(path) + ": ";
    UniqueFd file(::open(
        path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!file) return fail(who + std::strerror(errno));
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) return fail(who + std::strerror(errno));
    if (!S_ISREG(status.st_mode)) return fail(who + "not a regular file");
    if (status.st_uid != ::geteuid()) {
        return fail(who + "owned by uid " + std::to_string(status.st_uid) + "; it must be ours");
    }
    if ((status.st_mode & 07777) != 0600 && ::fchmod(file.get(), 0600) != 0) {
        return fail(who + std::strerror(errno));
    }
    return std::unique_ptr<AuditSink>(std::make_unique<FileSink>(std::move(file)));
}

Result<std::unique_ptr<AuditSink>> open_audit_journal(sd_event* event, const std::string& socket) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket.size() >= sizeof address.sun_path) return fail("path too long");
    std::memcpy(address.sun_path, socket.c_str(), socket.size());
    UniqueFd sender(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!sender) return fail(std::strerror(errno));
    // Only to see whether a journal is there; each record names the address, so that a journald
    // that is restarted is found again.
    UniqueFd probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe ||
        ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return fail(std::strerror(errno));
    }
    return std::unique_ptr<AuditSink>(
        std::make_unique<JournalSink>(event, std::move(sender), address));
}

std::unique_ptr<AuditSink> audit_to_stderr(sd_event* event) {
    return std::make_unique<StderrSink>(event);
}

}  // namespace postern
