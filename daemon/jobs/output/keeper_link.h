// The guard's link to postern-output, which keeps what jobs write (daemon/output/message.h), and a
// stock of the pipes that it made.
//
// Pipes are made there and not here, because their pages are charged to the user that made them
// (pipe(7), /proc/sys/fs/pipe-user-pages-soft), even if somebody else enlarges them, and a job can
// enlarge its own. If they were root's, all pipes of root's would soon be small on the whole host.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/channel/transport.h"
#include "daemon/loop/event_source.h"
#include "daemon/output/message.h"

namespace postern::jobs {

struct Pipe {
    UniqueFd read_end;
    UniqueFd write_end;
};

class KeeperLink {
  public:
    // A connection to it: SOCK_SEQPACKET, non-blocking, close-on-exec. Error: why there is none,
    // and what to do.
    using Connect = std::function<Result<UniqueFd>()>;
    // All come from the loop.
    struct Hooks {
        // What it says: kept, all_kept, grown, trouble, finished.
        std::function<void(const output::Message&, std::vector<UniqueFd>& descriptors)> told;
        // It has ended, or serves another guard: see problem(). When it is back, it, or its
        // successor, says what it has.
        std::function<void()> lost;
        // What it did not take before can be sent now.
        std::function<void()> writable;
        // ready() is true again.
        std::function<void()> ready;
    };

    // `owner`: a number for the directory of the jobs, the same as long as that stays where it is;
    // not 0.
    KeeperLink(sd_event* event, Connect connect, std::uint64_t owner,
               std::chrono::microseconds follower_stall, Hooks hooks);
    ~KeeperLink() = default;
    KeeperLink(const KeeperLink&) = delete;
    KeeperLink& operator=(const KeeperLink&) = delete;

    // It is connected and has said what it has: it can be told of jobs.
    [[nodiscard]] bool connected() const { return says_all_; }
    // A job can be started: it is connected, and pipes are in stock.
    [[nodiscard]] bool ready() const;
    // Never waits. The descriptors stay the caller's. False: not now; see Hooks.
    bool send(const output::Message& message, std::span<const int> descriptors = {});
    // For a job to write into, and to read from. None: the stock is empty; more will come.
    std::optional<Pipe> take_pipe() { return take_from(outputs_); }
    std::optional<Pipe> take_input_pipe() { return take_from(inputs_); }
    // So many are left that what is not urgent may take some.
    [[nodiscard]] bool has_plenty() const {
        return ready() && outputs_.pipes.size() > outputs_.most / 2;
    }
    // Why it is not connected. Empty: it is.
    [[nodiscard]] const std::string& problem() const { return problem_; }

  private:
    void connect();
    void watch(bool writing);
    void on_events(std::uint32_t events);
    void receive();
    bool take(const channel::Received& received, std::vector<UniqueFd>& descriptors);
    struct Stock {
        output::Kind want;
        std::size_t most;
        // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
        std::vector<Pipe> pipes = {};
        std::size_t asked_for = 0;  // that are to come
    };
    bool put_into(Stock& stock, const output::Message& message, std::vector<UniqueFd>& descriptors);
    std::optional<Pipe> take_from(Stock& stock);
    void ask_for_pipes();
    void was_refused(std::uint32_t process);
    void end(const std::string& why);

    sd_event* event_;
    Connect connect_;
    std::uint64_t owner_;
    std::chrono::microseconds stall_;
    Hooks hooks_;
    channel::Receiver receiver_{channel::Descriptors::taken};
    UniqueFd channel_;
    EventSource source_;
    Timer retry_timer_;
    Timer pipes_timer_;  // until it is asked again for pipes that it could not make
    std::chrono::milliseconds retry_after_;
    bool says_all_ = false;
    bool full_ = false;
    bool was_ready_ = false;
    bool wants_all_ = false;  // it was ready once: the stock is to be filled
    std::string problem_;
    // Enough for the starts of a moment (start_queue.h bounds how many begin in one turn). They
    // cost next to nothing: an empty pipe has no pages.
    Stock outputs_{output::Kind::want_pipes, 32};
    Stock inputs_{output::Kind::want_inputs, 8};
};

}  // namespace postern::jobs
