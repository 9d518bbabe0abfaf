#include "daemon/jobs/output/keeper_link.h"

#include <sys/epoll.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/limits.h"

namespace postern::jobs {
namespace {

// One that is restarted is there again within milliseconds; one that was stopped is not.
constexpr std::chrono::milliseconds first_retry{20};
constexpr std::chrono::milliseconds last_retry{1000};
// So that a keeper that says much does not have the loop to itself.
constexpr int packets_per_turn = 64;
// Of each kind, before all others: enough for a job to start, and soon made.
constexpr std::size_t first_pipes = 4;

}  // namespace

KeeperLink::KeeperLink(sd_event* event, Connect connect, std::uint64_t owner,
                       std::chrono::microseconds follower_stall, Hooks hooks)
    : event_(event),
      connect_(std::move(connect)),
      owner_(owner),
      stall_(follower_stall),
      hooks_(std::move(hooks)),
      retry_timer_(
          event, [this] { this->connect(); }, std::chrono::milliseconds(1)),
      pipes_timer_(event, [this] { ask_for_pipes(); }),
      retry_after_(first_retry) {
    // From the loop: whoever makes it is not told of anything before.
    static_cast<void>(retry_timer_.arm(std::chrono::microseconds(0)));
}

void KeeperLink::connect() {
    auto connected = connect_();
    if (!connected) return end(connected.error().message);
    channel_ = std::move(*connected);
    full_ = false;
    watch(false);
    if (!source_) return end("postern-output: the event loop takes no more");
    // Until it has.
    problem_ = "postern-output has not answered yet";
    output::Message hello;
    hello.kind = output::Kind::hello;
    hello.window = limits::follower_window_bytes;
    hello.owner = owner_;
    hello.stall = static_cast<std::uint64_t>(stall_.count());
    if (send(hello)) ask_for_pipes();
}

void KeeperLink::watch(bool writing) {
    const std::uint32_t events = EPOLLIN | (writing ? EPOLLOUT : 0U);
    if (source_) {
        sd_event_source_set_io_events(source_.get(), events);
        return;
    }
    static_cast<void>(add_io(event_, source_, channel_.get(), events,
                             [this](std::uint32_t revents) { on_events(revents); }));
}

void KeeperLink::on_events(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0 && full_) {
        full_ = false;
        watch(false);
        ask_for_pipes();
        if (says_all_) hooks_.writable();
    }
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) receive();
    const bool ready_now = ready();
    if (!std::exchange(was_ready_, ready_now) && ready_now) hooks_.ready();
    if (ready_now && !std::exchange(wants_all_, true)) ask_for_pipes();
}

void KeeperLink::receive() {
    for (int i = 0; i < packets_per_turn && channel_; ++i) {
        channel::Received received = receiver_.receive(channel_.get());
        if (received.state == channel::Received::State::nothing) return;
        if (received.state == channel::Received::State::ended) {
            return end("postern-output has ended");
        }
        std::vector<UniqueFd> descriptors = std::move(received.descriptors);
        if (!take(received, descriptors)) {
            return end("postern-output broke the protocol");
        }
    }
}

bool KeeperLink::take(const channel::Received& received, std::vector<UniqueFd>& descriptors) {
    const auto message = output::decode(received.packet);
    if (!message || message->kind < output::Kind::kept) return false;
    if (message->kind == output::Kind::pipe) return put_into(outputs_, *message, descriptors);
    if (message->kind == output::Kind::input) return put_into(inputs_, *message, descriptors);
    if (message->kind == output::Kind::refused) {
        was_refused(message->count);
        return true;
    }
    if (message->kind == output::Kind::all_kept) {
        says_all_ = true;
        retry_after_ = first_retry;
        problem_.clear();
    }
    hooks_.told(*message, descriptors);
    return true;
}

bool KeeperLink::ready() const {
    constexpr std::size_t of_a_job = 2;
    return says_all_ && !full_ && outputs_.pipes.size() >= of_a_job && !inputs_.pipes.empty();
}

bool KeeperLink::send(const output::Message& message, std::span<const int> descriptors) {
    if (!channel_ || full_) return false;
    const auto packet = output::encode(message);
    switch (channel::send_packet(channel_.get(), packet, descriptors)) {
        case channel::Sent::sent:
            return true;
        case channel::Sent::full:
            full_ = true;
            watch(true);
            was_ready_ = false;
            return false;
        case channel::Sent::ended:
            // Its end is read from the loop, and what it said before.
            return false;
    }
    return false;
}

bool KeeperLink::put_into(Stock& stock, const output::Message& message,
                          std::vector<UniqueFd>& descriptors) {
    if (descriptors.empty() && message.error != 0) {
        // No more of those that were asked for will come.
        stock.asked_for = 0;
        problem_ = std::string("postern-output can't make pipes: ") +
                   std::strerror(static_cast<int>(message.error)) +
                   "; it is tried again, and no job is started until it can";
        static_cast<void>(pipes_timer_.arm(last_retry));
        return true;
    }
    if (descriptors.size() != 2) return false;
    problem_.clear();
    stock.pipes.push_back({std::move(descriptors[0]), std::move(descriptors[1])});
    if (stock.asked_for > 0) --stock.asked_for;
    return true;
}

void KeeperLink::ask_for_pipes() {
    for (Stock* const stock : {&outputs_, &inputs_}) {
        const std::size_t have = stock->pipes.size() + stock->asked_for;
        const std::size_t most = wants_all_ ? stock->most : first_pipes;
        if (have > most / 2) continue;
        output::Message want;
        want.kind = stock->want;
        want.count = static_cast<std::uint32_t>(most - have);
        if (send(want)) stock->asked_for += want.count;
    }
}

void KeeperLink::was_refused(std::uint32_t process) {
    const std::string why =
        process != 0 ? "postern-output keeps what jobs write for another posternd, process " +
                           std::to_string(process) + "; stop one of the two"
                     : std::string(
                           "postern-output still waits for another posternd, which has ended while "
                           "its jobs run; it serves this one after a minute");
    const bool is_known = problem_ == why;
    end(why);
    if (!is_known) hooks_.lost();
}

std::optional<Pipe> KeeperLink::take_from(Stock& stock) {
    if (stock.pipes.empty()) return std::nullopt;
    Pipe pipe = std::move(stock.pipes.back());
    stock.pipes.pop_back();
    ask_for_pipes();
    if (!ready()) was_ready_ = false;
    return pipe;
}

// Pipes in stock stay good: they are nobody's but ours.
void KeeperLink::end(const std::string& why) {
    source_.reset();
    channel_.reset();
    outputs_.asked_for = 0;
    inputs_.asked_for = 0;
    was_ready_ = false;
    problem_ = why;
    static_cast<void>(retry_timer_.arm(retry_after_));
    retry_after_ = std::min(retry_after_ * 2, last_retry);
    if (std::exchange(says_all_, false)) hooks_.lost();
}

}  // namespace postern::jobs
