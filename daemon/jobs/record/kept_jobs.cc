#include "daemon/jobs/record/kept_jobs.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"

namespace postern::jobs {

Retention with_defaults(Retention retention, std::uint64_t disk_size) {
    constexpr std::uint64_t most = std::uint64_t{1} << 30;
    // Where even the size is not known there is no part of it.
    const std::uint64_t tenth = std::max<std::uint64_t>(disk_size / 10, 1);
    if (retention.output_bytes == 0) retention.output_bytes = std::min(most, tenth);
    if (retention.output_bytes_per_payer == 0) {
        retention.output_bytes_per_payer = std::max<std::uint64_t>(retention.output_bytes / 2, 1);
    }
    return retention;
}

// ---- Those that are over ----

// What has a key may have to stay for it: that much is not counted on.
std::uint64_t KeptJobs::freed_by_all(const Over& over) {
    return over.has_key ? over.occupied.output : over.occupied.all();
}

std::optional<KeptJobs::Number> KeptJobs::number_of(const Age& age) const {
    const std::pair wanted(age.first, JobKey::of(age.second.text()).value_or(JobKey()));
    const auto found = all_.first_not([&](Number one) { return end_of(one) < wanted; });
    if (found == all_.end() || end_of(all_.at(found)) != wanted) return std::nullopt;
    return all_.at(found);
}

void KeptJobs::add(const Age& age, uid_t payer, bool has_key, const Occupied& occupied) {
    if (number_of(age)) return;
    const Over over{age.first, JobKey::of(age.second.text()).value_or(JobKey()), occupied, payer,
                    has_key};
    const Number number = over_.add(over);
    all_.insert(number, older());
    OfPayer& own = of_payer_[payer];
    own.whole.insert(number, older());
    own.bytes += occupied.all();
    stored_ += occupied.all();
    freeable_ += freed_by_all(over);
}

bool KeptJobs::has_key(const Age& age) const {
    const auto number = number_of(age);
    return number && over_[*number].has_key;
}

std::uint64_t KeptJobs::reduce(const Age& age) {
    const auto number = number_of(age);
    if (!number || !over_[*number].whole) return 0;
    Over& over = over_[*number];
    OfPayer& own = of_payer_.at(over.payer);
    own.whole.erase(*number, older());
    over.whole = false;
    ++own.keys;
    keys_.insert(*number, older());
    freeable_ -= freed_by_all(over);
    const std::uint64_t freed = std::exchange(over.occupied.output, 0);
    own.key_bytes += over.occupied.rest;
    own.bytes -= freed;
    stored_ -= freed;
    return freed;
}

std::uint64_t KeptJobs::forget(const Age& age) {
    const auto number = number_of(age);
    if (!number) return 0;
    const Over over = over_[*number];
    OfPayer& own = of_payer_.at(over.payer);
    if (over.whole) {
        own.whole.erase(*number, older());
        freeable_ -= freed_by_all(over);
    } else {
        keys_.erase(*number, older());
        --own.keys;
        own.key_bytes -= over.occupied.rest;
    }
    own.bytes -= over.occupied.all();
    stored_ -= over.occupied.all();
    all_.erase(*number, older());
    over_.remove(*number);
    drop_if_none(over.payer);
    return over.occupied.all();
}

void KeptJobs::clear() {
    KeptJobs fresh;
    fresh.bounds_ = bounds_;
    fresh.is_read_ = std::move(is_read_);
    *this = std::move(fresh);
}

void KeptJobs::drop_if_none(uid_t payer) {
    const auto own = of_payer_.find(payer);
    if (own != of_payer_.end() && own->second.none()) of_payer_.erase(own);
}

std::optional<KeptJobs::Age> KeptJobs::oldest_key() const {
    return keys_.empty() ? std::nullopt : std::optional(age_of(keys_.front()));
}

bool KeptJobs::has_room_for_key(uid_t payer) const {
    const auto found = of_payer_.find(payer);
    if (found == of_payer_.end()) return true;
    const OfPayer& own = found->second;
    return own.keys < limits::keys_of_everybody ||
           (own.keys < bounds_.records_per_payer * limits::keys_per_record &&
            own.key_bytes < bounds_.output_bytes_per_payer &&
            keys_.size() < bounds_.records * limits::keys_per_record);
}

// ---- Those that run ----

std::uint64_t KeptJobs::set_running(const JobId& job, uid_t payer, std::uint64_t bytes) {
    const auto [entry, is_new] = running_.try_emplace(job, Running{payer, 0});
    Running& running = entry->second;
    OfPayer& own = of_payer_[running.payer];
    if (is_new) ++own.running;
    own.running_bytes += bytes - running.bytes;  // what is less wraps around, twice
    own.bytes += bytes - running.bytes;
    running_bytes_ += bytes - running.bytes;
    stored_ += bytes - running.bytes;
    running.bytes = bytes;

    const std::uint64_t share = std::min(bounds_.output_bytes_per_payer / own.running,
                                         bounds_.output_bytes / running_.size());
    // What is over gives way to what runs.
    const auto left = [bytes](std::uint64_t bound, std::uint64_t taken) {
        const std::uint64_t by_others = taken - bytes;
        return bound > by_others ? bound - by_others : 0;
    };
    return std::max(share, std::min(left(bounds_.output_bytes_per_payer, own.running_bytes),
                                    left(bounds_.output_bytes, running_bytes_)));
}

void KeptJobs::forget_running(const JobId& job) {
    const auto found = running_.find(job);
    if (found == running_.end()) return;
    const Running running = found->second;
    OfPayer& own = of_payer_.at(running.payer);
    --own.running;
    own.running_bytes -= running.bytes;
    own.bytes -= running.bytes;
    running_bytes_ -= running.bytes;
    stored_ -= running.bytes;
    running_.erase(found);
    drop_if_none(running.payer);
}

// ---- Which goes next ----

KeptJobs::Number KeptJobs::first_to_go(const OfPayer& own) const {
    // Whoever reads more of his own jobs than that loses the oldest of them.
    constexpr std::size_t most_looked_at = 16;
    std::size_t looked_at = 0;
    for (auto at = own.whole.begin(); is_read_ && own.whole.at(at) != own.whole.back();
         at = own.whole.next(at)) {
        if (!is_read_(over_[own.whole.at(at)].job.id())) return own.whole.at(at);
        if (++looked_at == most_looked_at) break;
    }
    return own.whole.front();
}

template <typename Most>
std::optional<KeptJobs::Number> KeptJobs::first_of_greatest(Most most) const {
    const OfPayer* greatest = nullptr;
    for (const auto& [payer, own] : of_payer_) {
        if (own.whole.empty()) continue;
        if (greatest == nullptr || most(*greatest) < most(own) ||
            (most(*greatest) == most(own) && older()(own.whole.front(), greatest->whole.front()))) {
            greatest = &own;
        }
    }
    return greatest == nullptr ? std::nullopt : std::optional(first_to_go(*greatest));
}

std::optional<KeptJobs::Number> KeptJobs::newest() const {
    std::optional<Number> found;
    for (const auto& [payer, own] : of_payer_) {
        if (own.whole.empty()) continue;
        if (!found || older()(*found, own.whole.back())) found = own.whole.back();
    }
    return found;
}

std::optional<std::pair<KeptJobs::Age, KeptJobs::Bound>> KeptJobs::beyond_bounds(
    uid_t payer) const {
    const auto own = of_payer_.find(payer);
    if (own != of_payer_.end() && own->second.whole.size() > 1) {
        if (own->second.whole.size() > bounds_.records_per_payer) {
            return std::pair(age_of(first_to_go(own->second)), Bound::records);
        }
        if (own->second.bytes > bounds_.output_bytes_per_payer) {
            return std::pair(age_of(first_to_go(own->second)), Bound::stored_of_payer);
        }
    }
    if (whole() > bounds_.records) {
        const auto oldest = first_of_greatest([](const OfPayer& one) { return one.whole.size(); });
        if (oldest) return std::pair(age_of(*oldest), Bound::records);
    }
    if (stored_ <= bounds_.output_bytes) return std::nullopt;
    const auto oldest = next_for_room(false);
    return oldest ? std::optional(std::pair(*oldest, Bound::stored)) : std::nullopt;
}

std::optional<KeptJobs::Age> KeptJobs::next_for_room(bool newest_too) const {
    const auto next = first_of_greatest([](const OfPayer& one) { return one.bytes; });
    // Nobody else's goes in its place.
    if (!next || (!newest_too && next == newest())) return std::nullopt;
    return age_of(*next);
}

std::uint64_t KeptJobs::freeable(bool newest_too) const {
    const auto last = newest_too ? std::nullopt : newest();
    return last ? freeable_ - freed_by_all(over_[*last]) : freeable_;
}

std::uint64_t KeptJobs::stored_of(uid_t payer) const {
    const auto own = of_payer_.find(payer);
    return own == of_payer_.end() ? 0 : own->second.bytes;
}

}  // namespace postern::jobs
