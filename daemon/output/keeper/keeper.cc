#include "daemon/output/keeper/keeper.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

namespace postern::output {
namespace {

constexpr std::uint64_t listener_number = 1;
constexpr std::uint64_t guard_number = 2;
constexpr std::uint64_t end_number = 3;
constexpr std::uint64_t workers_number = 4;
constexpr std::uint64_t store_number = 5;
// Of one guard in a turn.
constexpr int messages_in_turn = 64;
// Of one that is let go: more than a socket ever holds.
constexpr int messages_at_last = 65'536;
// Where no connection can be accepted: it stays readable all the while.
constexpr std::chrono::seconds without_listening{1};
// What the manager does not take now is offered again.
constexpr std::chrono::milliseconds offered_again{10};
// Of the end, for which the manager is asked to wait: TimeoutStopSec= is short.
constexpr std::chrono::seconds longest_end{60};
constexpr std::chrono::seconds says_it_ends{1};
constexpr std::string_view still_ending = "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=10000000";
// A guard that is restarted or replaced is there again long before that.
constexpr std::chrono::minutes time_to_return{1};
constexpr std::uint64_t longest_stall = std::uint64_t{7} * 24 * 3600 * 1'000'000;

Message refusal(pid_t served) {
    Message refused;
    refused.kind = Kind::refused;
    refused.count = static_cast<std::uint32_t>(served);
    return refused;
}

}  // namespace

Result<std::unique_ptr<Keeper>> Keeper::create(Parts parts) {
    POSTERN_TRY(PollSet made, PollSet::create());
    auto poll = std::make_unique<PollSet>(std::move(made));
    POSTERN_TRY(auto workers,
                Workers::create(*poll, workers_number,
                                parts.listener ? Workers::threads : Workers::threads_of_child));
    std::unique_ptr<Keeper> keeper(
        new Keeper(std::move(parts), std::move(poll), std::move(workers)));
    if (!keeper->watch_all()) return fail(std::string("epoll_ctl: ") + std::strerror(errno));
    return keeper;
}

Keeper::Keeper(Parts parts, std::unique_ptr<PollSet> poll, std::unique_ptr<Workers> workers)
    : poll_(std::move(poll)),
      workers_(std::move(workers)),
      end_sign_(std::move(parts.end_sign)),
      listener_(std::move(parts.listener)),
      manager_(std::move(parts.manager)),
      watchdog_(parts.watchdog),
      store_(manager_, *poll_, store_number, *workers_),
      mover_(*poll_, *workers_, *this, std::move(parts.null)) {
    for (auto& [name, pipe] : parts.stored) {
        store_.add_stored(name);
        std::vector<UniqueFd> descriptors;
        descriptors.push_back(std::move(pipe));
        (void)mover_.keep(name, 0, std::move(descriptors), {});
    }
    if (parts.channel) guard_ = std::make_unique<GuardLink>(std::move(parts.channel));
    mover_.guard_went(now_);
}

bool Keeper::watch_all() {
    if (guard_) guard_events_ = EPOLLIN;
    return poll_->add(end_sign_.get(), EPOLLIN, end_number) &&
           (!listener_ || poll_->add(listener_->descriptor(), EPOLLIN, listener_number)) &&
           (!guard_ || poll_->add(guard_->descriptor(), guard_events_, guard_number));
}

bool Keeper::run() {
    is_ready_ = manager_.say("READY=1");
    while (!end_) step();
    leave();
    return *end_;
}

void Keeper::step() {
    const auto events = poll_->wait(patience());
    now_ = Clock::now();
    for (const epoll_event& event : events) take_event(event.data.u64);
    pass_time();
    workers_->serve(now_);
    talk();
}

// What threads are in the middle of comes to its end, where it does so soon. The manager is to have
// what nobody else may have, should the guard end now as well. Only then do others hear that nobody
// is here: threads that stand still keep the process, and what it has open, until they go on. The
// next keeper knows how to go on beside them (KeptStream::step()).
void Keeper::leave() {
    poll_->remove(end_sign_.get());
    if (listener_) poll_->remove(listener_->descriptor());
    hear_out();
    if (guard_) poll_->remove(guard_->descriptor());
    const Clock::time_point last = now_ + longest_end;
    next_alive_ = now_ + says_it_ends;
    while ((!store_.store_all() || workers_->count_fresh(now_) > 0) && now_ < last) {
        const auto events = poll_->wait(offered_again);
        now_ = Clock::now();
        if (now_ >= next_alive_ && manager_.say(still_ending)) next_alive_ = now_ + says_it_ends;
        for (const epoll_event& event : events) {
            if (event.data.u64 == workers_number) workers_->take_done(now_);
            if (event.data.u64 == store_number) store_.answered();
        }
    }
    // It has to see that the process does not end, and go on without.
    if (workers_->count_begun() > 0) (void)manager_.say("STOPPING=1");
    listener_.reset();
    let_guard_go(true);
}

std::optional<Keeper::Clock::duration> Keeper::patience() const {
    const Clock::time_point now = Clock::now();
    std::optional<Clock::time_point> next = mover_.due();
    const auto also = [&next](std::optional<Clock::time_point> time) {
        if (time) next = std::min(next.value_or(*time), *time);
    };
    also(store_.due());
    also(workers_->due(now));
    also(listens_again_);
    if (watchdog_) also(next_alive_);
    if (!is_ready_) also(now + offered_again);
    if (!next) return std::nullopt;
    return std::max(*next - now, Clock::duration::zero());
}

void Keeper::take_event(std::uint64_t number) {
    switch (number) {
        case listener_number:
            take_guard();
            break;
        case guard_number:
            hear();
            break;
        case end_number:
            end_ = true;
            break;
        case workers_number:
            workers_->take_done(now_);
            break;
        case store_number:
            store_.answered();
            break;
        default:
            mover_.happened(number);
    }
}

void Keeper::pass_time() {
    mover_.pass_time(now_);
    store_.pass_time(now_);
    if (!is_ready_) is_ready_ = manager_.say("READY=1");
    if (listens_again_ && now_ >= *listens_again_) listen(true);
    if (!watchdog_ || now_ < next_alive_) return;
    (void)manager_.say("WATCHDOG=1");
    next_alive_ = now_ + *watchdog_;
}

// ---- The guard ----

void Keeper::take_guard() {
    if (!listener_) return;
    auto accepted = listener_->accept();
    if (!accepted) {
        if (accepted.error() != EAGAIN) listen(false);
        return;
    }
    if (guard_ && guard_->is_alive()) {
        (void)GuardLink(std::move(accepted->connection)).send(refusal(guard_->process()), {});
        return;
    }
    let_guard_go(true);
    guard_events_ = EPOLLIN;
    if (!poll_->add(accepted->connection.get(), guard_events_, guard_number)) return;
    guard_ = std::make_unique<GuardLink>(std::move(accepted->connection), accepted->process);
}

// Again, or not for some time.
void Keeper::listen(bool again) {
    if (!listener_) return;
    if (!again) poll_->remove(listener_->descriptor());
    listens_again_.reset();
    if (again && poll_->add(listener_->descriptor(), EPOLLIN, listener_number)) return;
    listens_again_ = now_ + without_listening;
}

// What it said before it went counts: nobody else may have what came with that.
void Keeper::hear_out() {
    for (int left = messages_at_last; guard_ && left > 0; --left) {
        GuardLink::Hearing hearing = guard_->hear();
        if (hearing.what != GuardLink::Heard::message || !obey(std::move(hearing))) return;
    }
}

void Keeper::let_guard_go(bool heard_out) {
    if (!guard_) return;
    if (heard_out) hear_out();
    poll_->remove(guard_->descriptor());
    guard_.reset();
    to_report_.clear();
    owes_all_kept_ = false;
    for (PipeStock& pipes : pipes_) pipes.stop();
    if (!std::exchange(greeted_, false)) return;
    guard_went_ = now_;
    mover_.guard_went(now_);
}

void Keeper::guard_ended(bool as_it_should) {
    let_guard_go(as_it_should);
    if (!listener_) end_ = as_it_should;
}

void Keeper::hear() {
    for (int left = messages_in_turn; left > 0 && guard_ && guard_->is_heard(); --left) {
        GuardLink::Hearing hearing = guard_->hear();
        switch (hearing.what) {
            case GuardLink::Heard::nothing:
                return;
            case GuardLink::Heard::ended:
                guard_ended(true);
                return;
            case GuardLink::Heard::wrong:
                guard_ended(false);
                return;
            case GuardLink::Heard::message:
                if (!obey(std::move(hearing))) guard_ended(false);
        }
    }
}

bool Keeper::obey(GuardLink::Hearing hearing) {
    const Message& message = hearing.message;
    if (greeted_ == (message.kind == Kind::hello)) return false;
    switch (message.kind) {
        case Kind::hello:
            return greet(message);
        case Kind::want_pipes:
            pipes_[0].want(message.count);
            return true;
        case Kind::want_inputs:
            pipes_[1].want(message.count);
            return true;
        case Kind::keep:
            return keep(std::move(hearing));
        case Kind::watch:
            mover_.watch({message.job, message.stream},
                         {message.stored, message.floor, message.awaited, message.followers});
            return true;
        case Kind::room:
            mover_.room(message.count > 0);
            return true;
        case Kind::finish:
            mover_.finish(message.job);
            return true;
        case Kind::forget:
            mover_.forget(message.job);
            return true;
        default:
            return false;
    }
}

bool Keeper::greet(const Message& hello) {
    if (hello.owner != owner_ && owner_ != 0 && now_ - guard_went_ < time_to_return &&
        !mover_.names().empty()) {
        (void)guard_->send(refusal(0), {});
        return false;
    }
    owner_ = hello.owner;
    greeted_ = true;
    mover_.guard_came(
        hello.window,
        std::chrono::microseconds(static_cast<std::int64_t>(std::min(hello.stall, longest_stall))));
    for (Mover::Name& name : mover_.names()) to_report_.emplace_back(std::move(name));
    for (JobId& job : mover_.finished_jobs()) to_report_.emplace_back(std::move(job));
    owes_all_kept_ = true;
    return true;
}

bool Keeper::keep(GuardLink::Hearing hearing) {
    const Message& message = hearing.message;
    const Mover::Name name{message.job, message.stream};
    if (!mover_.keep(name, message.owner, std::move(hearing.descriptors),
                     {message.stored, message.floor, message.awaited, message.followers})) {
        return false;
    }
    if (const auto holding = mover_.holding(name, now_)) store_.add(name, holding->pipe, now_);
    return true;
}

// ---- What it is told ----

void Keeper::tell(const Message& message) {
    if (greeted_) guard_->queue(message);
}

void Keeper::grown(const Mover::Name& name, std::uint64_t size) {
    Message message;
    message.kind = Kind::grown;
    message.job = name.job;
    message.stream = name.stream;
    message.sizes.at(name.stream) = size;
    tell(message);
}

void Keeper::in_trouble(const Mover::Name& name, int error, std::uint64_t size) {
    Message message;
    message.kind = Kind::trouble;
    message.job = name.job;
    message.stream = name.stream;
    message.error = static_cast<std::uint32_t>(error);
    message.sizes.at(name.stream) = size;
    tell(message);
}

void Keeper::finished(const JobId& job, const Mover::Sizes& sizes) {
    // Before all_kept, in its turn: its streams may not have been told of, and are no more.
    if (owes_all_kept_) {
        to_report_.emplace_back(job);
        return;
    }
    Message message;
    message.kind = Kind::finished;
    message.job = job;
    message.sizes = sizes;
    tell(message);
}

void Keeper::lets_go(const Mover::Name& name, std::uint64_t owner,
                     std::vector<UniqueFd> descriptors) {
    store_.remove(name, owner, std::move(descriptors));
}

void Keeper::talk() {
    if (!guard_) return;
    channel::Sent sent = report();
    if (sent == channel::Sent::sent) sent = guard_->flush();
    if (sent == channel::Sent::sent) sent = give_pipes();
    if (sent == channel::Sent::ended) {
        guard_ended(true);
        return;
    }
    const std::uint32_t events =
        (guard_->is_heard() ? EPOLLIN : 0U) | (sent == channel::Sent::full ? EPOLLOUT : 0U);
    if (events == guard_events_) return;
    guard_events_ = events;
    poll_->change(guard_->descriptor(), events, guard_number);
}

channel::Sent Keeper::report() {
    for (; !to_report_.empty(); to_report_.pop_front()) {
        const auto* const name = std::get_if<Mover::Name>(&to_report_.front());
        const channel::Sent sent = name != nullptr
                                       ? report_kept(*name)
                                       : report_finished(std::get<JobId>(to_report_.front()));
        if (sent != channel::Sent::sent) return sent;
    }
    if (!owes_all_kept_) return channel::Sent::sent;
    Message all;
    all.kind = Kind::all_kept;
    const auto sent = guard_->send(all, {});
    if (sent == channel::Sent::sent) owes_all_kept_ = false;
    return sent;
}

channel::Sent Keeper::report_kept(const Mover::Name& name) {
    const auto holding = mover_.holding(name, now_);
    if (!holding) return channel::Sent::sent;
    Message kept;
    kept.kind = Kind::kept;
    kept.job = name.job;
    kept.stream = name.stream;
    kept.floor = holding->demand.floor;
    kept.followers = holding->demand.followers;
    kept.stall = static_cast<std::uint64_t>(holding->stall.count());
    std::vector<int> descriptors = {holding->pipe};
    if (holding->file >= 0) descriptors.push_back(holding->file);
    if (holding->write_end >= 0) descriptors.push_back(holding->write_end);
    return guard_->send(kept, descriptors);
}

channel::Sent Keeper::report_finished(const JobId& job) {
    Message finished;
    finished.kind = Kind::finished;
    finished.job = job;
    // Not one that was never kept, which is asked for once more.
    finished.sizes = mover_.finished_sizes(job).value_or(Mover::Sizes{});
    return guard_->send(finished, {});
}

channel::Sent Keeper::give_pipes() {
    for (PipeStock& pipes : pipes_) {
        const channel::Sent sent = pipes.give(*guard_);
        if (sent != channel::Sent::sent) return sent;
    }
    return channel::Sent::sent;
}

}  // namespace postern::output
