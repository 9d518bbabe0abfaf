// One connection to the daemon: calls out, replies in.
#pragma once

#include <poll.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "ctl/wire/waiting.h"
#include "protocol/framing.h"
#include "protocol/reply.h"

namespace postern::ctl {

// A reply, and the text that it came as; or only what a job wrote.
struct Message {
    protocol::Reply reply;
    std::string text;
    // Of stdout and stderr, where it was asked for: such a reply continues and has nothing else.
    std::optional<std::array<std::string, 2>> output = std::nullopt;
};

// Why there is no reply.
struct NoReply {
    enum class Why : std::uint8_t {
        ended,        // the connection is over
        interrupted,  // the interrupt descriptor became readable
        late,         // the time is up
        nonsense,     // what came is no reply
    };
    Why why = Why::ended;
    // One line that begins with the socket's path; empty for `interrupted`.
    std::string message;
};

// What continues beside a connection that is waited for.
class Beside {
  public:
    Beside() = default;
    virtual ~Beside() = default;
    Beside(const Beside&) = delete;
    Beside& operator=(const Beside&) = delete;
    // Adds what is to be polled.
    virtual void watch(std::vector<pollfd>& watched) = 0;
    // It can continue at once.
    [[nodiscard]] virtual bool ready() const = 0;
    // Without blocking. `watched`: what it added. False: it failed, and nothing is waited for any
    // more.
    virtual bool go_on(std::span<const pollfd> watched) = 0;
};

class Connection {
  public:
    // `path`: of the socket, for messages.
    Connection(UniqueFd socket, std::string path)
        : socket_(std::move(socket)), path_(std::move(path)) {}

    // From now on replies that have nothing but output of this job come as Message::output.
    void take_output_of(std::string job) { output_of_ = std::move(job); }

    // Puts a call, with its terminator, where send() takes it from.
    void queue(std::string_view call) { out_ += call; }
    [[nodiscard]] std::size_t queued() const { return out_.size(); }

    [[nodiscard]] int fd() const { return socket_.get(); }
    // What to poll fd() for.
    [[nodiscard]] short events() const;

    // Sends what the socket takes. Never blocks, raises no SIGPIPE. A daemon that does not take
    // more may have answered all the same: read on.
    void send();
    // Reads what is there. Never blocks. false: the connection is over.
    bool read();
    // The next reply that has come in full.
    Result<std::optional<Message>, NoReply> next();

    // For `why` ended: what to say to the user.
    [[nodiscard]] NoReply over() const;
    [[nodiscard]] const std::string& path() const { return path_; }

    // Sends what is queued, and waits for the next reply. `patience`: zero for no bound.
    // `interrupt`: a descriptor, or -1.
    // `beside`: may be null; `interrupted` where it fails.
    Result<Message, NoReply> wait(std::chrono::milliseconds patience, int interrupt,
                                  Beside* beside = nullptr);

    // For poll(2) while an answer is waited for: `timeout`, or less, so that a daemon that has not
    // answered at all is told of in time (waiting.h).
    int bound(int timeout) {
        return answered_ || !tells_silence_ ? timeout : silence_.bound(timeout, path_);
    }
    // The answer to its first call may take its time by itself.
    void bear_silence() { tells_silence_ = false; }

    // Descriptors may come with replies: the call said that they are taken.
    void expect_descriptors() { expects_descriptors_ = true; }
    // Those that have come, in that order.
    std::vector<UniqueFd> take_descriptors() { return std::exchange(descriptors_, {}); }

  private:
    UniqueFd socket_;
    std::string path_;
    std::string out_;
    std::string in_;         // the first bytes of it were read...
    std::size_t read_ = 0;   // ... so many...
    std::size_t taken_ = 0;  // ... and of these the framer has taken so many
    // For how much the next read has room: most replies are short, and memory is paid by the page.
    std::size_t room_ = std::size_t{8} * 1024;
    // One connection in a process that does not last: it may keep what one reply takes.
    protocol::Framer framer_{protocol::reply_bytes, protocol::reply_bytes};
    std::string output_of_;
    bool expects_descriptors_ = false;
    std::vector<UniqueFd> descriptors_;
    bool unsendable_ = false;
    bool over_ = false;
    bool answered_ = false;  // at least one reply came
    bool tells_silence_ = true;
    Silence silence_;
};

}  // namespace postern::ctl
