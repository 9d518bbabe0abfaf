#include "daemon/output/keeper/mover.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace postern::output {
namespace {

// Of one stream in a turn.
constexpr std::size_t turn_bytes = std::size_t{256} * 1024;
// Until a write that failed is tried again, at first and at most.
constexpr std::chrono::milliseconds first_retry{250};
constexpr std::chrono::milliseconds longest_retry{2000};
// A guard that is away for so long is not waited for where bytes have to give way.
constexpr std::chrono::seconds without_guard{1};

}  // namespace

Mover::Kept* Mover::find(const Name& name) const {
    const auto job = jobs_.find(name.job);
    return job == jobs_.end() ? nullptr : job->second.kept.at(name.stream);
}

bool Mover::keep(const Name& name, std::uint64_t owner, std::vector<UniqueFd> descriptors,
                 const Demand& demand) {
    Kept* const kept = find(name);
    bool kept_well = false;
    if (descriptors.empty() || !KeptStream::is_read_end(descriptors[0].get())) {
        kept_well = false;
    } else if (kept == nullptr) {
        kept_well = keep_new(name, owner, descriptors, demand);
    } else if (take_lacking(*kept, descriptors)) {
        kept_well = true;
        kept->owner = owner;
        apply(*kept, demand);
    }
    // What was not taken: another may have let go of it meanwhile.
    workers_.close(owner, std::move(descriptors));
    return kept_well;
}

bool Mover::keep_new(const Name& name, std::uint64_t owner, std::vector<UniqueFd>& descriptors,
                     const Demand& demand) {
    const std::uint64_t number = next_number_++;
    auto kept = std::make_unique<Kept>(*this, name, number, std::move(descriptors[0]));
    kept->owner = owner;
    if (!take_lacking(*kept, descriptors) ||
        !poll_.add(kept->stream.pipe(), EPOLLIN | EPOLLET, number)) {
        descriptors.push_back(kept->stream.let_go().first);
        return false;
    }
    Job& job = jobs_[name.job];
    // Else it would be over without an answer to what the guard says next.
    job.finishes = false;
    job.kept.at(name.stream) = kept.get();
    apply(*by_number_.emplace(number, std::move(kept)).first->second, demand);
    return true;
}

bool Mover::take_lacking(Kept& kept, std::vector<UniqueFd>& descriptors) {
    if (descriptors.size() > 1 && !kept.stream.has_file()) {
        if (!kept.stream.take_file(std::move(descriptors[1]))) return false;
        kept.size = kept.stream.size();
    }
    if (descriptors.size() > 2 && !kept.write_end) {
        if (!KeptStream::is_write_end(descriptors[2].get())) return false;
        kept.write_end = std::move(descriptors[2]);
    }
    return true;
}

void Mover::watch(const Name& name, const Demand& demand) {
    if (Kept* const kept = find(name)) apply(*kept, demand);
}

void Mover::apply(Kept& kept, const Demand& demand) {
    kept.demand = demand;
    kept.floor_until.reset();
    say_grown(kept);
    give_turn(kept);
}

void Mover::say_grown(Kept& kept) {
    if (kept.demand.awaited == none || kept.size <= kept.demand.awaited) return;
    kept.demand.awaited = none;
    listener_.grown(kept.name, kept.size);
}

void Mover::room(bool some) {
    for (const std::uint64_t number : troubled_) {
        Kept& kept = *by_number_.at(number);
        kept.told = false;
        kept.no_room = !some;
        give_turn(kept);
    }
}

void Mover::finish(const JobId& job) {
    const auto found = jobs_.find(job);
    if (found == jobs_.end()) {
        listener_.finished(job, {});
        return;
    }
    found->second.finishes = true;
    for (Kept* const kept : found->second.kept) {
        if (kept == nullptr) continue;
        if (!kept->stream.has_file()) {
            has_ended(*kept);
            continue;
        }
        kept->finishes = true;
        give_turn(*kept);
    }
    say_if_finished(found->first, found->second);
}

void Mover::say_if_finished(const JobId& id, const Job& job) {
    if (job.has_finished()) listener_.finished(id, job.sizes);
}

void Mover::forget(const JobId& job) {
    const auto found = jobs_.find(job);
    if (found == jobs_.end()) return;
    const Job forgotten = found->second;
    jobs_.erase(found);
    for (Kept* const kept : forgotten.kept) {
        if (kept == nullptr) continue;
        kept->forgotten = true;
        recovered(*kept);
        if (!kept->waits && !kept->away) let_go(*kept);
    }
}

std::optional<Mover::Sizes> Mover::finished_sizes(const JobId& job) const {
    const auto found = jobs_.find(job);
    if (found == jobs_.end() || !found->second.has_finished()) return std::nullopt;
    return found->second.sizes;
}

std::vector<JobId> Mover::finished_jobs() const {
    std::vector<JobId> finished;
    for (const auto& [id, job] : jobs_) {
        if (job.has_finished()) finished.push_back(id);
    }
    return finished;
}

// Its stream of its job is over.
void Mover::has_ended(Kept& kept) {
    Job& job = jobs_.at(kept.name.job);
    job.sizes.at(kept.name.stream) = kept.size;
    job.kept.at(kept.name.stream) = nullptr;
    let_go(kept);
}

// It is gone after this.
void Mover::let_go(Kept& kept) {
    poll_.remove(kept.stream.pipe());
    recovered(kept);
    auto [pipe, file] = kept.stream.let_go();
    std::vector<UniqueFd> descriptors;
    descriptors.push_back(std::move(pipe));
    descriptors.push_back(std::move(kept.write_end));
    descriptors.push_back(std::move(file));
    listener_.lets_go(kept.name, kept.owner, std::move(descriptors));
    by_number_.erase(kept.number);
}

void Mover::guard_came(std::uint64_t window, std::chrono::microseconds stall) {
    window_ = window;
    stall_ = stall;
    guard_went_.reset();
    for (auto& [number, kept] : by_number_) {
        kept->told = false;
        kept->no_room = false;
        give_turn(*kept);
    }
}

void Mover::guard_went(Clock::time_point now) {
    guard_went_ = now;
    const Clock::time_point until = now + stall_;
    for (auto& [number, kept] : by_number_) {
        if (kept->demand.floor == none || kept->floor_until) continue;
        kept->floor_until = until;
        floors_due_ = std::min(floors_due_.value_or(until), until);
    }
}

void Mover::let_floors_go(Clock::time_point now) {
    floors_due_.reset();
    for (auto& [number, kept] : by_number_) {
        auto& until = kept->floor_until;
        if (!until) continue;
        if (*until <= now) {
            until.reset();
            kept->demand.floor = none;
            kept->demand.followers = 0;
            give_turn(*kept);
        } else {
            floors_due_ = std::min(floors_due_.value_or(*until), *until);
        }
    }
}

std::optional<Mover::Holding> Mover::holding(const Name& name, Clock::time_point now) const {
    const Kept* const kept = find(name);
    if (kept == nullptr) return std::nullopt;
    Holding holding{
        kept->stream.pipe(), kept->stream.file(), kept->write_end.get(), kept->demand, {}};
    if (kept->floor_until) {
        holding.stall = std::chrono::ceil<std::chrono::microseconds>(
            std::max(*kept->floor_until - now, Clock::duration::zero()));
    }
    return holding;
}

std::deque<Mover::Name> Mover::names() const {
    std::deque<Name> names;
    for (const auto& [number, kept] : by_number_) {
        if (!kept->forgotten) names.push_back(kept->name);
    }
    return names;
}

void Mover::happened(std::uint64_t number) {
    // An event may be of a stream that was let go meanwhile.
    const auto found = by_number_.find(number);
    if (found != by_number_.end()) give_turn(*found->second);
}

void Mover::give_turn(Kept& kept) {
    if (kept.forgotten || !kept.stream.has_file()) return;
    if (kept.away) {
        kept.again = true;
    } else if (!std::exchange(kept.waits, true)) {
        workers_.add(kept.owner, kept);
    }
}

void Mover::begin_turn(Kept& kept, Clock::time_point now) {
    kept.waits = false;
    kept.away = true;
    kept.stream.demand = kept.demand;
    if (kept.finishes) kept.stream.finish();
    kept.turn = {window_, relief(kept, now), null_.get(), kept.forgotten, false, {}};
    kept.retried = false;
}

// By a thread. Until the pipe is empty: else it would be given another turn to see that it is.
// Where bytes may have to give way, each step is followed by a look at what the guard says now.
void Mover::Kept::run() noexcept {
    if (turn.skipped) return;
    const std::uint64_t end = stream.size() + turn_bytes;
    do {
        turn.step = stream.step(end - stream.size(), turn.window, turn.relief, turn.null);
        if (turn.step.state == KeptStream::State::moved) turn.moved = true;
    } while (turn.step.state == KeptStream::State::moved && turn.step.error == 0 &&
             turn.relief == Relief::wait && stream.size() < end);
}

void Mover::end_turn(Kept& kept, Clock::time_point now) {
    kept.away = false;
    if (kept.forgotten) {
        let_go(kept);
        return;
    }
    const KeptStream::Step step = kept.turn.step;
    kept.size = kept.stream.size();
    say_grown(kept);
    if (step.error != 0 && step.state != KeptStream::State::failed) {
        listener_.in_trouble(kept.name, step.error, kept.size);
    }
    if (kept.turn.moved) recovered(kept);
    switch (step.state) {
        case KeptStream::State::moved:
        case KeptStream::State::relieved:
            kept.again = true;
            break;
        case KeptStream::State::failed:
            failed(kept, step.error, now);
            break;
        case KeptStream::State::ended: {
            const JobId job = kept.name.job;
            has_ended(kept);
            say_if_finished(job, jobs_.at(job));
            return;
        }
        case KeptStream::State::empty:
        case KeptStream::State::held:
            break;
    }
    if (std::exchange(kept.again, false)) give_turn(kept);
}

Relief Mover::relief(const Kept& kept, Clock::time_point now) const {
    if (!kept.no_room && !(guard_went_ && now - *guard_went_ >= without_guard)) {
        return Relief::wait;
    }
    return kept.retried ? Relief::drop : Relief::give_way;
}

void Mover::failed(Kept& kept, int error, Clock::time_point now) {
    kept.troubled = true;
    troubled_.insert(kept.number);
    if (!kept.told) {
        kept.told = true;
        listener_.in_trouble(kept.name, error, kept.size);
    }
    if (retry_due_) return;
    retry_time_ = std::clamp(retry_time_ * 2, first_retry, longest_retry);
    retry_due_ = now + retry_time_;
}

void Mover::recovered(Kept& kept) {
    if (!std::exchange(kept.troubled, false)) return;
    kept.told = false;
    kept.no_room = false;
    troubled_.erase(kept.number);
    if (!troubled_.empty()) return;
    retry_due_.reset();
    retry_time_ = {};
}

void Mover::retry() {
    retry_due_.reset();
    for (const std::uint64_t number : troubled_) {
        by_number_.at(number)->retried = true;
        give_turn(*by_number_.at(number));
    }
}

std::optional<Mover::Clock::time_point> Mover::due() const {
    if (!retry_due_) return floors_due_;
    return floors_due_ ? std::min(*floors_due_, *retry_due_) : *retry_due_;
}

void Mover::pass_time(Clock::time_point now) {
    if (retry_due_ && *retry_due_ <= now) retry();
    if (floors_due_ && *floors_due_ <= now) let_floors_go(now);
}

}  // namespace postern::output
