#include "daemon/guard/service/activity.h"

#include <utility>

#include "base/counted.h"

namespace postern {
namespace {

// So often at most: figures may change thousands of times a second.
constexpr std::chrono::milliseconds look_time{500};

bool is_idle(const Activity::Figures& figures) {
    return figures.connections == 0 && figures.packets == 0 && figures.jobs == 0 &&
           figures.trouble.empty();
}

}  // namespace

Activity::Activity(sd_event* event, ServiceNotice& notice, std::chrono::microseconds idle_time,
                   Hooks hooks)
    : notice_(notice),
      idle_time_(idle_time),
      hooks_(std::move(hooks)),
      look_timer_(event, [this] { look(); }),
      idle_timer_(event, [this] { on_idle_timer(); }) {}

void Activity::stop() {
    stopped_ = true;
    look_timer_.disarm();
    idle_timer_.disarm();
}

void Activity::set_policy(std::string text) {
    policy_ = std::move(text);
    policy_told_ = false;
}

std::string Activity::text() const {
    const Figures now = hooks_.figures();
    return policy_ + "; " + counted(now.connections, "connection") + " in " +
           counted(now.sessions, "session") + ", " + counted(now.jobs, "job") +
           (now.trouble.empty() ? "" : "; " + now.trouble);
}

void Activity::touch() {
    touched_ = std::chrono::steady_clock::now();
    if (stopped_) return;
    if (!looking_) looking_ = look_timer_.arm(look_time) >= 0;
    const bool leaves = idle_time_ > std::chrono::microseconds(0);
    if (leaves && !counting_) counting_ = idle_timer_.arm(idle_time_) >= 0;
}

void Activity::look() {
    looking_ = false;
    if (stopped_) return;
    hooks_.looked();
    const Figures now = hooks_.figures();
    const bool changed = !policy_told_ || now.connections != told_.connections ||
                         now.sessions != told_.sessions || now.jobs != told_.jobs ||
                         now.trouble != told_.trouble;
    if (!changed) return;
    told_ = now;
    policy_told_ = true;
    notice_.say_status(text());
}

// It goes off again and again: not all that keeps a guard busy says when it does so no more.
void Activity::on_idle_timer() {
    using std::chrono::microseconds;
    const auto quiet =
        std::chrono::floor<microseconds>(std::chrono::steady_clock::now() - touched_);
    const bool idle = is_idle(hooks_.figures());
    if (idle && quiet >= idle_time_) {
        counting_ = false;
        return hooks_.idle();
    }
    counting_ = idle_timer_.arm(idle && quiet < idle_time_ ? idle_time_ - quiet : idle_time_) >= 0;
}

}  // namespace postern
