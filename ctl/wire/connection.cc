#include "ctl/wire/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>

#include "base/control_data.h"
#include "ctl/wire/interrupt.h"
#include "protocol/output_reply.h"

namespace postern::ctl {
namespace {

using Clock = std::chrono::steady_clock;
// One for each direction.
constexpr std::size_t most_descriptors = 2;
constexpr std::size_t most_read_bytes = std::size_t{256} * 1024;

}  // namespace

short Connection::events() const {
    const bool sends = !out_.empty() && !unsendable_;
    return static_cast<short>(POLLIN | (sends ? POLLOUT : 0));
}

void Connection::send() {
    while (!out_.empty() && !unsendable_) {
        const auto sent =
            ::send(socket_.get(), out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) {
            out_.erase(0, static_cast<std::size_t>(sent));
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            unsendable_ = true;
        }
    }
}

bool Connection::read() {
    if (over_) return false;
    // Mostly nothing is left to be moved.
    const auto left = std::span(in_).subspan(taken_, read_ - taken_);
    if (taken_ > 0) std::ranges::copy(left, in_.begin());
    read_ = left.size();
    taken_ = 0;
    if (in_.size() < read_ + room_) in_.resize(read_ + room_);
    iovec data{in_.data() + read_, in_.size() - read_};
    DescriptorSpace<most_descriptors> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    // Without room for them the kernel drops any that come (recvmsg(2)).
    if (expects_descriptors_) {
        message.msg_control = control.bytes.data();
        message.msg_controllen = control.bytes.size();
    }
    ssize_t got = 0;
    do {
        got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got > 0 && expects_descriptors_) {
        for (auto& descriptor : postern::take_descriptors(message)) {
            descriptors_.push_back(std::move(descriptor));
        }
    }
    if (got > 0) read_ += static_cast<std::size_t>(got);
    // There is more than it was given room for.
    if (read_ == in_.size()) room_ = std::min(4 * room_, most_read_bytes);
    if (got == 0 || (got < 0 && errno != EAGAIN)) over_ = true;
    return !over_;
}

Result<std::optional<Message>, NoReply> Connection::next() {
    auto rest = std::string_view(in_).substr(taken_, read_ - taken_);
    const auto frame = framer_.next(rest);
    taken_ = read_ - rest.size();
    if (framer_.too_long()) {
        return Unexpected(
            NoReply{NoReply::Why::nonsense,
                    path_ + ": the reply does not end; this is not a Postern daemon"});
    }
    if (!frame) return std::optional<Message>{};
    if (!output_of_.empty()) {
        if (auto output = protocol::decode_output_reply(frame->text, output_of_)) {
            return std::optional<Message>{Message{{}, {}, std::move(output)}};
        }
    }
    auto reply = protocol::decode_reply(frame->text);
    if (!reply) {
        return Unexpected(
            NoReply{NoReply::Why::nonsense,
                    path_ + ": the answer is not a valid reply: " + reply.error().message});
    }
    answered_ = true;
    return std::optional<Message>{Message{std::move(*reply), std::string(frame->text)}};
}

NoReply Connection::over() const {
    if (!answered_ && !framer_.mid_message()) {
        return {NoReply::Why::ended,
                path_ +
                    ": the daemon closed the connection without an answer: it does not "
                    "serve this caller, or a limit is reached; the administrator finds the reason "
                    "in its audit"};
    }
    return {NoReply::Why::ended, path_ + ": the daemon closed the connection during the call"};
}

Result<Message, NoReply> Connection::wait(std::chrono::milliseconds patience, int interrupt,
                                          Beside* beside) {
    const auto deadline = Clock::now() + patience;
    // The socket mostly takes it. Nothing is asked of the daemon any more once the user wants to
    // stop.
    if (interrupt < 0 || Interrupt::signal() == 0) send();
    for (;;) {
        POSTERN_TRY(auto come, next());
        std::optional<Message> message = std::move(come);
        if (message) return std::move(*message);
        if (over_) return Unexpected(over());

        int timeout = -1;
        if (patience.count() > 0) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
            if (left.count() <= 0) {
                return Unexpected(NoReply{NoReply::Why::late,
                                          path_ + ": no answer within " +
                                              std::to_string(patience.count() / 1000) + " s"});
            }
            timeout = static_cast<int>(left.count());
        }
        constexpr std::size_t own = 2;
        std::vector<pollfd> watched = {pollfd{.fd = fd(), .events = events(), .revents = 0},
                                       pollfd{.fd = interrupt, .events = POLLIN, .revents = 0}};
        if (beside != nullptr) {
            beside->watch(watched);
            if (beside->ready()) timeout = 0;
        }
        const int ready = poll(watched.data(), watched.size(), bound(timeout));
        if (ready < 0 && errno != EINTR) return Unexpected(over());
        if (ready < 0) continue;
        if (watched[1].revents != 0) {
            return Unexpected(NoReply{NoReply::Why::interrupted, {}});
        }
        if (beside != nullptr && !beside->go_on(std::span(watched).subspan(own))) {
            return Unexpected(NoReply{NoReply::Why::interrupted, {}});
        }
        if ((watched[0].revents & POLLOUT) != 0) send();
        // An end that was announced (POLLHUP, POLLERR) comes after what is still to be read.
        if ((watched[0].revents & ~POLLOUT) != 0) read();
    }
}

}  // namespace postern::ctl
