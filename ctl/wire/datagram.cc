#include "ctl/wire/datagram.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/limits.h"
#include "base/utf8.h"
#include "ctl/text/exit_codes.h"
#include "ctl/wire/connect_error.h"
#include "ctl/wire/connect_facts.h"
#include "ctl/wire/reply_address.h"
#include "ctl/wire/waiting.h"
#include "host/unix_address.h"

namespace postern::ctl {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

std::string seconds_text(milliseconds time) {
    return std::to_string(time.count() / 1000) + " s";
}

class Datagram {
  public:
    explicit Datagram(const std::string& path) : path_(path) {}

    // Connected, so that a socket that is missing, dead, closed to us or of another type is told
    // apart at once, and packets of others do not reach us (unix(7)). Before there is an address:
    // so there is no moment at which one could.
    Result<void, NoAnswer> connect();
    Result<void, NoAnswer> send(std::string_view call, milliseconds patience, int interrupt);
    Result<Message, NoAnswer> receive(const ReplyAddress& address, milliseconds patience,
                                      int interrupt);
    [[nodiscard]] int fd() const { return socket_.get(); }
    [[nodiscard]] Unexpected<NoAnswer> failed(int code, std::string_view what) const {
        return Unexpected(NoAnswer{code, printable(path_) + ": " + std::string(what), sent_});
    }

  private:
    enum class Waited : std::uint8_t { ready, interrupted, late };
    Waited wait(short events, Clock::time_point deadline, int interrupt);
    [[nodiscard]] Unexpected<NoAnswer> interrupted() const {
        return Unexpected(NoAnswer{exit_code::interrupted, {}, sent_});
    }
    // `patience`: for EAGAIN.
    [[nodiscard]] Unexpected<NoAnswer> unreachable(int error, milliseconds patience) const;

    const std::string& path_;
    UniqueFd socket_;
    bool sent_ = false;
    Silence silence_;
};

Unexpected<NoAnswer> Datagram::unreachable(int error, milliseconds patience) const {
    auto failure = look_at(path_, error);
    failure.datagram = true;
    const int code = error == EAGAIN ? exit_code::limit : exit_code::broken;
    return Unexpected(NoAnswer{code, connect_error(failure, patience), sent_});
}

Result<void, NoAnswer> Datagram::connect() {
    socket_ = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_) {
        return failed(exit_code::broken,
                      std::string("can't create a socket: ") + std::strerror(errno));
    }
    const auto address = unix_address(path_);
    if (::connect(fd(), any_address(address), sizeof address) != 0) {
        return unreachable(errno, milliseconds::zero());
    }
    return {};
}

Datagram::Waited Datagram::wait(short events, Clock::time_point deadline, int interrupt) {
    std::array<pollfd, 2> watched = {pollfd{.fd = fd(), .events = events, .revents = 0},
                                     pollfd{.fd = interrupt, .events = POLLIN, .revents = 0}};
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
        if (left.count() <= 0) return Waited::late;
        const int timeout = silence_.bound(static_cast<int>(left.count()), path_);
        const int ready = poll(watched.data(), watched.size(), timeout);
        if (ready > 0) return watched[1].revents != 0 ? Waited::interrupted : Waited::ready;
    }
}

Result<void, NoAnswer> Datagram::send(std::string_view call, milliseconds patience, int interrupt) {
    const auto deadline = Clock::now() + patience;
    for (;;) {
        if (::send(fd(), call.data(), call.size(), MSG_NOSIGNAL) >= 0) {
            sent_ = true;
            return {};
        }
        const int error = errno;
        if (error == EMSGSIZE) {
            return failed(exit_code::invalid,
                          "the call has " + std::to_string(call.size()) +
                              " bytes, which the kernel "
                              "does not accept as one datagram (net.core.wmem_default)");
        }
        if (error != EAGAIN) return unreachable(error, patience);
        switch (wait(POLLOUT, deadline, interrupt)) {
            case Waited::interrupted:
                return interrupted();
            case Waited::late:
                return unreachable(EAGAIN, patience);
            case Waited::ready:
                break;
        }
    }
}

Result<Message, NoAnswer> Datagram::receive(const ReplyAddress& address, milliseconds patience,
                                            int interrupt) {
    const auto deadline = Clock::now() + patience;
    std::string text(datagram_answer_bytes, '\0');
    for (;;) {
        switch (wait(POLLIN, deadline, interrupt)) {
            case Waited::interrupted:
                return interrupted();
            case Waited::late:
                return failed(exit_code::broken,
                              "no answer within " + seconds_text(patience) +
                                  ": the daemon has exited, is "
                                  "overloaded, or does not see the same directory " +
                                  printable(address.parent()));
            case Waited::ready:
                break;
        }
        // MSG_TRUNC: the length that the packet has.
        const auto got = ::recv(fd(), text.data(), text.size(), MSG_TRUNC);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (got < 0) return unreachable(errno, patience);
        if (static_cast<std::size_t>(got) > text.size()) {
            return failed(exit_code::broken, "the answer has " + std::to_string(got) +
                                                 " bytes; this "
                                                 "is not a Postern daemon");
        }
        text.resize(static_cast<std::size_t>(got));
        auto reply = protocol::decode_reply(text);
        if (!reply) {
            return failed(exit_code::broken,
                          "the answer is not a valid reply: " + reply.error().message);
        }
        return Message{std::move(*reply), std::move(text)};
    }
}

// Nothing is sent that the daemon would have to refuse: there may be no way for it to say so.
Result<void, NoAnswer> check_length(const Datagram& datagram, std::string_view call) {
    if (call.size() <= limits::message_bytes) return {};
    return datagram.failed(exit_code::invalid, "the call has " + std::to_string(call.size()) +
                                                   " bytes, but one datagram has at most " +
                                                   std::to_string(limits::message_bytes));
}

}  // namespace

Result<void, NoAnswer> send_datagram(const std::string& path, std::string_view call,
                                     milliseconds patience) {
    Datagram datagram(path);
    POSTERN_TRY(check_length(datagram, call));
    POSTERN_TRY(datagram.connect());
    return datagram.send(call, patience, -1);
}

Result<Message, NoAnswer> ask_by_datagram(const std::string& path, std::string_view call,
                                          const DatagramPatience& patience, int interrupt) {
    Datagram datagram(path);
    POSTERN_TRY(check_length(datagram, call));
    POSTERN_TRY(datagram.connect());
    const auto address = ReplyAddress::bind(datagram.fd(), socket_environment());
    if (!address) return Unexpected(NoAnswer{exit_code::broken, address.error().message, false});
    POSTERN_TRY(datagram.send(call, patience.send, interrupt));
    return datagram.receive(*address, patience.answer, interrupt);
}

}  // namespace postern::ctl
