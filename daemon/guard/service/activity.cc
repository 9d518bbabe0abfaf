#include "daemon/guard/service/activity.h"

#include <utility>

#include "base/counted.h"

namespace postern {
namespace {

// systemd is told so often at most: figures may change thousands of times a second.
constexpr std::chrono::milliseconds tell_time{500};

bool is_idle(const Activity::Figures& figures) {
    return figures.connections == 0 && figures.packets == 0 && figures.jobs == 0 &&
           figures.trouble.empty();
}

}  // namespace

Activity::Activity(sd_event* event, ServiceNotice& notice, std::function<Figures()> figures,
                   std::chrono::microseconds idle_time, std::function<void()> idle)
    : notice_(notice),
      figures_(std::move(figures)),
      idle_time_(idle_time),
      idle_(std::move(idle)),
      tell_timer_(event, [this] { tell(); }),
      // A connection may have come in this very turn, before its look.
      idle_timer_(event, [this] {
          if (is_idle(figures_())) idle_();
      }) {}

void Activity::stop() {
    tell_timer_.disarm();
    idle_timer_.disarm();
}

void Activity::set_policy(std::string text) {
    policy_ = std::move(text);
    policy_told_ = false;
}

std::string Activity::text() const {
    const Figures now = figures_();
    return policy_ + "; " + counted(now.connections, "connection") + " in " +
           counted(now.sessions, "session") + ", " + counted(now.jobs, "job") +
           (now.trouble.empty() ? "" : "; " + now.trouble);
}

void Activity::look() {
    const Figures now = figures_();
    const bool changed = !policy_told_ || now.connections != told_.connections ||
                         now.sessions != told_.sessions || now.jobs != told_.jobs ||
                         now.trouble != told_.trouble;
    if (changed && !telling_) telling_ = tell_timer_.arm(tell_time) >= 0;
    if (idle_time_ == std::chrono::microseconds(0)) return;
    const bool idle = is_idle(now);
    if (idle && !counting_) {
        counting_ = idle_timer_.arm(idle_time_) >= 0;
    } else if (!idle && counting_) {
        counting_ = false;
        idle_timer_.disarm();
    }
}

void Activity::tell() {
    telling_ = false;
    told_ = figures_();
    policy_told_ = true;
    notice_.say_status(text());
}

}  // namespace postern
