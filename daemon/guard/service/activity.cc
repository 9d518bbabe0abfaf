#include "daemon/guard/service/activity.h"

#include <cstring>
#include <utility>

namespace postern {
namespace {

// systemd is told so often at most: figures may change thousands of times a second.
constexpr std::uint64_t tell_usec = 500'000;

std::string counted(std::size_t count, const char* one, const char* many) {
    return std::to_string(count) + ' ' + (count == 1 ? one : many);
}

}  // namespace

Activity::Activity(sd_event* event, ServiceNotice& notice, const SessionPool& pool,
                   const jobs::JobManager& jobs, std::uint64_t idle_usec,
                   std::function<void()> idle)
    : event_(event),
      notice_(notice),
      pool_(pool),
      jobs_(jobs),
      idle_usec_(idle_usec),
      idle_(std::move(idle)) {}

Status Activity::start() {
    sd_event_source* source = nullptr;
    // After each turn of the loop in which anything happened (sd_event_add_post(3)).
    if (const int r = sd_event_add_post(event_, &source, on_turn, this); r < 0) {
        return fail(std::string("event loop: ") + std::strerror(-r));
    }
    turn_.reset(source);
    look();
    return {};
}

void Activity::stop() {
    turn_.reset();
    tell_timer_.reset();
    idle_timer_.reset();
}

void Activity::set_policy(std::string text) {
    policy_ = std::move(text);
}

std::string Activity::text() const {
    return policy_ + "; " + counted(pool_.connections(), "connection", "connections") + " in " +
           counted(pool_.sessions(), "session", "sessions") + ", " +
           counted(jobs_.active(), "job", "jobs");
}

int Activity::on_turn(sd_event_source* /*source*/, void* self) {
    static_cast<Activity*>(self)->look();
    return 0;
}

bool Activity::is_idle() const {
    return pool_.connections() == 0 && pool_.packets() == 0 && jobs_.active() == 0;
}

void Activity::look() {
    if (!telling_ && text() != told_) {
        telling_ = arm_timer(event_, tell_timer_, tell_usec, on_tell, this) >= 0;
    }
    if (idle_usec_ == 0) return;
    const bool idle = is_idle();
    if (idle && !counting_) {
        counting_ = arm_timer(event_, idle_timer_, idle_usec_, on_idle, this) >= 0;
    } else if (!idle && counting_) {
        counting_ = false;
        sd_event_source_set_enabled(idle_timer_.get(), SD_EVENT_OFF);
    }
}

int Activity::on_tell(sd_event_source* /*source*/, std::uint64_t /*usec*/, void* self) {
    auto& activity = *static_cast<Activity*>(self);
    activity.telling_ = false;
    activity.told_ = activity.text();
    activity.notice_.say_status(activity.told_);
    return 0;
}

int Activity::on_idle(sd_event_source* /*source*/, std::uint64_t /*usec*/, void* self) {
    auto& activity = *static_cast<Activity*>(self);
    // A connection may have come in this very turn, before its look.
    if (activity.is_idle()) activity.idle_();
    return 0;
}

}  // namespace postern
