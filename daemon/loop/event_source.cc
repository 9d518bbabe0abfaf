#include "daemon/loop/event_source.h"

#include <ctime>

namespace postern {
namespace {

// The callable goes with its source, which sd-event keeps until its callback has returned.
template <typename What>
int own(EventSource& source, sd_event_source* made, std::unique_ptr<What> what) {
    if (const int r = sd_event_source_set_destroy_callback(
            made,
            [](void* userdata) { std::unique_ptr<What>(static_cast<What*>(userdata)).reset(); });
        r < 0) {
        sd_event_source_disable_unref(made);
        return r;
    }
    what.release();
    source.reset(made);
    return 0;
}

}  // namespace

int add_io(sd_event* event, EventSource& source, int fd, std::uint32_t events,
           std::function<void(std::uint32_t)> what) {
    using What = std::function<void(std::uint32_t)>;
    auto owned = std::make_unique<What>(std::move(what));
    sd_event_source* made = nullptr;
    const int r = sd_event_add_io(
        event, &made, fd, events,
        [](sd_event_source* /*source*/, int /*fd*/, std::uint32_t revents, void* userdata) {
            (*static_cast<What*>(userdata))(revents);
            return 0;
        },
        owned.get());
    return r < 0 ? r : own(source, made, std::move(owned));
}

int add_signal(sd_event* event, EventSource& source, int signal,
               std::function<void(const signalfd_siginfo&)> what) {
    using What = std::function<void(const signalfd_siginfo&)>;
    auto owned = std::make_unique<What>(std::move(what));
    sd_event_source* made = nullptr;
    const int r = sd_event_add_signal(
        event, &made, signal,
        [](sd_event_source* /*source*/, const signalfd_siginfo* info, void* userdata) {
            (*static_cast<What*>(userdata))(*info);
            return 0;
        },
        owned.get());
    return r < 0 ? r : own(source, made, std::move(owned));
}

int add_defer(sd_event* event, EventSource& source, std::function<void()> what) {
    using What = std::function<void()>;
    auto owned = std::make_unique<What>(std::move(what));
    sd_event_source* made = nullptr;
    const int r = sd_event_add_defer(
        event, &made,
        [](sd_event_source* /*source*/, void* userdata) {
            (*static_cast<What*>(userdata))();
            return 0;
        },
        owned.get());
    return r < 0 ? r : own(source, made, std::move(owned));
}

Soon::Soon(sd_event* event, std::function<void()> what)
    : event_(event), what_(std::make_shared<const std::function<void()>>(std::move(what))) {}

int Soon::ask() {
    if (asked_) return 0;
    const int r = add_defer(event_, source_, [this] {
        asked_ = false;
        const auto what = what_;
        (*what)();
    });
    asked_ = r == 0;
    return r;
}

Timer::Timer(sd_event* event, std::function<void()> what, std::chrono::microseconds accuracy)
    : event_(event),
      what_(std::make_shared<const std::function<void()>>(std::move(what))),
      accuracy_(accuracy) {}

int Timer::arm(std::chrono::microseconds delay) {
    const auto usec = static_cast<std::uint64_t>(delay.count());
    if (source_) {
        if (const int r = sd_event_source_set_time_relative(source_.get(), usec); r < 0) return r;
        return sd_event_source_set_enabled(source_.get(), SD_EVENT_ONESHOT);
    }
    sd_event_source* made = nullptr;
    const int r = sd_event_add_time_relative(
        event_, &made, CLOCK_MONOTONIC, usec, static_cast<std::uint64_t>(accuracy_.count()),
        [](sd_event_source* /*source*/, std::uint64_t /*usec*/, void* userdata) {
            const auto what = *static_cast<std::shared_ptr<const std::function<void()>>*>(userdata);
            (*what)();
            return 0;
        },
        &what_);
    if (r >= 0) source_.reset(made);
    return r < 0 ? r : 0;
}

void Timer::disarm() {
    if (source_) sd_event_source_set_enabled(source_.get(), SD_EVENT_OFF);
}

}  // namespace postern
