#include "daemon/guard/calls/current_policy.h"

#include <algorithm>
#include <utility>

namespace postern {

struct CurrentPolicy::Waiting {
    Waiting(Turns& turns, uid_t payer, std::function<Turns::Step()> step)
        : owner(payer), task(turns, payer, std::move(step)) {}

    uid_t owner;
    CallPtr call;
    std::string action;
    std::uint64_t request = 0;  // a load that began after this one is late enough
    Clock::time_point until;
    std::function<void(bool current)> done;
    End end = End::pending;
    Turns::Task task;
};

// What its connection keeps while it waits. Who leaves has run nothing yet, and what he wanted is
// decided all the same: as if he had left a moment later.
class CurrentPolicy::Kept final : public OngoingCall {
  public:
    void await_output(const AwaitOutput& /*read*/) override {}
    bool output_taken(const OutputTaken& /*taken*/) override { return false; }
    void left(jobs::Leaving /*leaving*/) override {}
};

CurrentPolicy::CurrentPolicy(sd_event* event, Turns& turns, Bounds bounds, Hooks hooks)
    : turns_(turns),
      bounds_(bounds),
      hooks_(std::move(hooks)),
      timer_(event, [this] { on_time(); }, std::chrono::milliseconds(20)) {}

CurrentPolicy::~CurrentPolicy() = default;

void CurrentPolicy::refuse(CallContext& call, const std::string& action, const char* reason,
                           const char* message, Refusal refusal) {
    AuditEvent event = call.event(AuditEvent::Kind::call_refused, action);
    event.reason = reason;
    call.audit(event);
    call.refuse(refusal, "", message);
}

void CurrentPolicy::wait(const CallPtr& call, const std::string& action, Clock::time_point& until,
                         std::function<void(bool)> done) {
    const auto now = Clock::now();
    if (until == Clock::time_point()) until = now + patience;
    const uid_t owner = call->caller().payer();
    const auto of_owner = std::ranges::count_if(
        waiting_, [owner](const auto& entry) { return entry.second->owner == owner; });
    if (waiting_.size() >= bounds_.all || static_cast<std::size_t>(of_owner) >= bounds_.of_owner) {
        refuse(*call, action, "too many calls wait for the action files to be read",
               "the action files have changed and are being read, and too many calls wait for that "
               "already; try again");
        return done(false);
    }
    const Ticket ticket = ++last_;
    auto waiting =
        std::make_unique<Waiting>(turns_, owner, [this, ticket] { return step(ticket); });
    waiting->call = call;
    waiting->action = action;
    waiting->request = hooks_.look();
    waiting->until = until;
    waiting->done = std::move(done);
    waiting_.emplace(ticket, std::move(waiting));
    call->link().keep(std::make_unique<Kept>());
    arm();
}

void CurrentPolicy::loaded(std::uint64_t request, bool worked, const Names& restless) {
    for (const auto& [ticket, one] : waiting_) {
        if (one->end != End::pending || one->request > request) continue;
        if (!worked) {
            end(*one, End::unreadable);
        } else if (one->action.empty() ? restless.empty() : !restless.contains(one->action)) {
            end(*one, End::current);
        }
    }
}

void CurrentPolicy::close() {
    for (const auto& [ticket, one] : waiting_) {
        if (one->end == End::pending) end(*one, End::closing);
    }
}

void CurrentPolicy::end(Waiting& one, End how) {
    one.end = how;
    one.task.ready();
}

// In the turn of its owner.
Turns::Step CurrentPolicy::step(Ticket ticket) {
    const auto found = waiting_.find(ticket);
    if (found == waiting_.end()) return {};
    const std::unique_ptr<Waiting> one = std::move(found->second);
    waiting_.erase(found);
    one->call->link().forget();
    switch (one->end) {
        case End::late:
            refuse(*one->call, one->action, "the action files were not read within 3 s",
                   "the action files have changed, and reading them takes too long; try again");
            break;
        case End::unreadable:
            refuse(*one->call, one->action, "the action files can't be read",
                   "the action files have changed and can't be read at the moment; try again "
                   "later, the administrator finds more in the log");
            break;
        case End::closing:
            refuse(*one->call, one->action, "the daemon is stopping",
                   "nothing can be decided at the moment: the daemon is stopping; try again",
                   Refusal::retryable);
            break;
        case End::pending:
        case End::current:
            break;
    }
    one->done(one->end == End::current);
    return {};
}

// They all wait equally long, or less.
void CurrentPolicy::arm() {
    if (waiting_.empty()) return;
    Clock::time_point first = Clock::time_point::max();
    for (const auto& [ticket, one] : waiting_) {
        if (one->end == End::pending) first = std::min(first, one->until);
    }
    if (first == Clock::time_point::max()) return;
    const auto left = std::chrono::ceil<std::chrono::microseconds>(first - Clock::now());
    (void)timer_.arm(std::max(left, std::chrono::microseconds(0)));
}

void CurrentPolicy::on_time() {
    const auto now = Clock::now();
    for (const auto& [ticket, one] : waiting_) {
        if (one->end == End::pending && one->until <= now) end(*one, End::late);
    }
    arm();
}

}  // namespace postern
