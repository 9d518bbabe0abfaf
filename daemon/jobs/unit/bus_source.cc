#include "daemon/jobs/unit/bus_source.h"

#include <cerrno>
#include <chrono>

namespace postern::jobs {
namespace {

// Others have their turn after so many.
constexpr int messages_a_turn = 64;

std::uint64_t monotonic_usec() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

BusSource::BusSource(sd_event* event, sd_bus* bus)
    : event_(event),
      bus_(bus),
      timer_(
          event,
          [this] {
              due_usec_.reset();
              process();
          },
          std::chrono::milliseconds(1)) {}

int BusSource::start() {
    const int events = sd_bus_get_events(bus_);
    if (events < 0) return events;
    socket_ = duplicate(sd_bus_get_fd(bus_));
    if (!socket_) return -errno;
    watched_ = static_cast<std::uint32_t>(events);
    const int r =
        add_io(event_, readable_, socket_.get(), watched_, [this](std::uint32_t) { process(); });
    // There may be messages that came with the first answer.
    if (r >= 0) arrange();
    return r;
}

void BusSource::process() {
    for (int left = messages_a_turn; left > 0 && sd_bus_process(bus_, nullptr) > 0; --left) {
    }
    arrange();
}

void BusSource::sent() {
    arrange();
}

void BusSource::arrange() {
    const int events = sd_bus_get_events(bus_);
    if (events < 0) {
        // The connection has ended. What is left to say of that, the timer calls for.
        readable_.reset();
    } else if (readable_ && static_cast<std::uint32_t>(events) != watched_) {
        watched_ = static_cast<std::uint32_t>(events);
        static_cast<void>(sd_event_source_set_io_events(readable_.get(), watched_));
    }
    // Only what is earlier than what is set moves the timer: while calls are answered in time it is
    // set once for all of them.
    std::uint64_t due = UINT64_MAX;
    if (sd_bus_get_timeout(bus_, &due) <= 0 || due == UINT64_MAX) return;
    if (due_usec_ && *due_usec_ <= due) return;
    const std::uint64_t now = monotonic_usec();
    if (timer_.arm(std::chrono::microseconds(due > now ? due - now : 0)) >= 0) due_usec_ = due;
}

}  // namespace postern::jobs
