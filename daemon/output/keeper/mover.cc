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

Mover::Kept* Mover::find(const Name& name) {
    const auto job = jobs_.find(name.job);
    if (job == jobs_.end()) return nullptr;
    auto& kept = job->second.kept.at(name.stream);
    return kept ? &*kept : nullptr;
}

bool Mover::keep(const Name& name, UniqueFd pipe, UniqueFd file, const Demand& demand) {
    if (!KeptStream::is_read_end(pipe.get())) return false;
    Kept* kept = find(name);
    if (kept != nullptr) {
        if (!kept->stream.has_file() && file && !kept->stream.take_file(std::move(file))) {
            return false;
        }
        apply(*kept, demand);
        return true;
    }
    KeptStream stream(std::move(pipe));
    if (file && !stream.take_file(std::move(file))) return false;
    const std::uint64_t number = next_number_++;
    if (!poll_.add(stream.pipe(), EPOLLIN | EPOLLET, number)) {
        listener_.in_trouble(name, errno, stream.size());
        return true;
    }
    kept = &jobs_[name.job].kept.at(name.stream).emplace(name, number, std::move(stream));
    by_number_.emplace(number, kept);
    apply(*kept, demand);
    return true;
}

void Mover::watch(const Name& name, const Demand& demand) {
    if (Kept* const kept = find(name)) apply(*kept, demand);
}

void Mover::apply(Kept& kept, const Demand& demand) {
    kept.stream.demand = demand;
    kept.floor_until.reset();
    if (kept.stream.take_grown()) listener_.grown(kept.name, kept.stream.size());
    give_turn(kept);
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
    for (auto& kept : found->second.kept) {
        if (!kept) continue;
        if (!kept->stream.has_file()) {
            let_go(kept);
            continue;
        }
        kept->stream.finish();
        give_turn(*kept);
    }
    end_if_finished(job);
}

void Mover::forget(const JobId& job) {
    const auto found = jobs_.find(job);
    if (found == jobs_.end()) return;
    for (auto& kept : found->second.kept) let_go(kept);
    jobs_.erase(found);
}

void Mover::let_go(std::optional<Kept>& kept) {
    if (!kept) return;
    listener_.lets_go(kept->name, kept->stream.pipe());
    poll_.remove(kept->stream.pipe());
    by_number_.erase(kept->number);
    recovered(*kept);
    kept.reset();
}

void Mover::end_if_finished(const JobId& job) {
    const auto found = jobs_.find(job);
    if (!found->second.finishes || std::ranges::any_of(found->second.kept, [](const auto& kept) {
            return kept.has_value();
        })) {
        return;
    }
    listener_.finished(found->first, found->second.sizes);
    jobs_.erase(found);
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
    for (auto& [number, kept] : by_number_) {
        if (kept->stream.demand.floor == none || kept->floor_until) continue;
        kept->floor_until = now + stall_;
        floors_due_ = std::min(floors_due_.value_or(*kept->floor_until), *kept->floor_until);
    }
}

void Mover::let_floors_go(Clock::time_point now) {
    floors_due_.reset();
    for (auto& [number, kept] : by_number_) {
        if (!kept->floor_until) continue;
        if (*kept->floor_until <= now) {
            kept->floor_until.reset();
            kept->stream.demand.floor = none;
            kept->stream.demand.followers = 0;
            give_turn(*kept);
        } else {
            floors_due_ = std::min(floors_due_.value_or(*kept->floor_until), *kept->floor_until);
        }
    }
}

std::optional<Mover::Holding> Mover::holding(const Name& name, Clock::time_point now) const {
    const auto job = jobs_.find(name.job);
    if (job == jobs_.end()) return std::nullopt;
    const auto& kept = job->second.kept.at(name.stream);
    if (!kept) return std::nullopt;
    Holding holding{kept->stream.pipe(), kept->stream.file(), kept->stream.demand, {}};
    if (kept->floor_until) {
        holding.stall = std::chrono::ceil<std::chrono::microseconds>(
            std::max(*kept->floor_until - now, Clock::duration::zero()));
    }
    return holding;
}

std::deque<Mover::Name> Mover::names() const {
    std::deque<Name> names;
    for (const auto& [number, kept] : by_number_) names.push_back(kept->name);
    return names;
}

void Mover::happened(std::uint64_t number) {
    // An event may be of a stream that was let go meanwhile.
    const auto found = by_number_.find(number);
    if (found != by_number_.end()) give_turn(*found->second);
}

void Mover::give_turn(Kept& kept) {
    if (std::exchange(kept.has_turn, true)) return;
    turns_.push_back(kept.number);
}

void Mover::serve(Clock::time_point now) {
    for (std::size_t left = turns_.size(); left > 0; --left) {
        const auto found = by_number_.find(turns_.front());
        turns_.pop_front();
        if (found == by_number_.end()) continue;
        found->second->has_turn = false;
        take_turn(*found->second, now);
    }
}

void Mover::take_turn(Kept& kept, Clock::time_point now) {
    const KeptStream::Step step =
        kept.stream.step(turn_bytes, window_, relief(kept, now), null_.get());
    kept.retried = false;
    if (kept.stream.take_grown()) listener_.grown(kept.name, kept.stream.size());
    if (step.error != 0 && step.state != KeptStream::State::failed) {
        listener_.in_trouble(kept.name, step.error, kept.stream.size());
    }
    switch (step.state) {
        case KeptStream::State::moved:
            recovered(kept);
            [[fallthrough]];
        case KeptStream::State::relieved:
            give_turn(kept);
            break;
        case KeptStream::State::failed:
            failed(kept, step.error, now);
            break;
        case KeptStream::State::ended: {
            const Name name = kept.name;
            Job& job = jobs_.at(name.job);
            job.sizes.at(name.stream) = kept.stream.size();
            let_go(job.kept.at(name.stream));
            end_if_finished(name.job);
            break;
        }
        case KeptStream::State::empty:
        case KeptStream::State::held:
            break;
    }
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
        listener_.in_trouble(kept.name, error, kept.stream.size());
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
