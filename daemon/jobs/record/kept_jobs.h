// What is kept of jobs, and which ended job is removed next: the bounds of retention.h, without
// files and without a clock.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "daemon/jobs/record/job_folder.h"
#include "daemon/jobs/record/job_key.h"
#include "daemon/jobs/record/retention.h"
#include "daemon/jobs/record/slab.h"
#include "daemon/jobs/record/sorted_blocks.h"
#include "model/job.h"

namespace postern::jobs {

class KeptJobs {
  public:
    // Of an ended job: ordered by the time of its end, then by job.
    using Age = std::pair<Time, JobId>;

    // Precondition: no bound is 0.
    void set_bounds(const Retention& bounds) { bounds_ = bounds; }
    // Whether somebody reads the output of a job, as far as is known: of one payer's jobs, the
    // oldest that nobody reads is removed before those.
    void set_is_read(std::function<bool(const JobId& job)> is_read) {
        is_read_ = std::move(is_read);
    }

    // An ended job, whose id is one. `has_key`: a key stands for it.
    void add(const Age& age, uid_t payer, bool has_key, const Occupied& occupied);
    [[nodiscard]] bool has_key(const Age& age) const;
    // Of a whole one, all but the key is removed. Returns how many bytes that frees.
    std::uint64_t reduce(const Age& age);
    // It is removed, whole or not. Returns how many bytes that frees.
    std::uint64_t forget(const Age& age);
    // Nothing is kept any more, and what running jobs have stored is to be said anew.
    void clear();
    // Of those that are kept for their key alone.
    [[nodiscard]] std::optional<Age> oldest_key() const;
    // Whether one more key of this payer can be remembered for as long as it must be.
    [[nodiscard]] bool has_room_for_key(uid_t payer) const;

    // What a running job has stored so far. Returns how much it may store: less than it has if it
    // is to give up its oldest bytes, which is never asked of payers that have no more than an even
    // share of what running jobs may have.
    std::uint64_t set_running(const JobId& job, uid_t payer, std::uint64_t bytes);
    void forget_running(const JobId& job);

    // A whole one that is to be removed for the bounds of this payer or of all, and which bound
    // that is. A payer's own bounds never remove the payer's newest, and no bound the newest of
    // all.
    enum class Bound : std::uint8_t { records, stored_of_payer, stored };
    [[nodiscard]] std::optional<std::pair<Age, Bound>> beyond_bounds(uid_t payer) const;
    // The whole one to remove when the disk has no room: the oldest of the payer that has stored
    // most. `newest_too`: even if that is the newest of all.
    [[nodiscard]] std::optional<Age> next_for_room(bool newest_too) const;
    // How much would be freed, at least, if all whole ones were removed.
    [[nodiscard]] std::uint64_t freeable(bool newest_too) const;
    [[nodiscard]] std::size_t whole() const { return all_.size() - keys_.size(); }

    // Bytes, running jobs included.
    [[nodiscard]] std::uint64_t stored() const { return stored_; }
    [[nodiscard]] std::uint64_t stored_of(uid_t payer) const;

  private:
    struct Over {
        Time ended;
        JobKey job;
        Occupied occupied;
        uid_t payer = 0;
        bool has_key = false;
        bool whole = true;  // else it is kept for its key alone
    };
    using Number = Slab<Over>::Number;
    using Order = SortedBlocks<Number>;  // by the time of their end, then by job
    struct OfPayer {
        Order whole;
        std::size_t keys = 0;         // kept for their key alone
        std::uint64_t key_bytes = 0;  // of those
        std::size_t running = 0;
        std::uint64_t running_bytes = 0;
        std::uint64_t bytes = 0;  // of all these
        [[nodiscard]] bool none() const { return whole.empty() && keys == 0 && running == 0; }
    };
    struct Running {
        uid_t payer;
        std::uint64_t bytes;
    };
    static std::uint64_t freed_by_all(const Over& over);
    [[nodiscard]] std::pair<Time, JobKey> end_of(Number number) const {
        return {over_[number].ended, over_[number].job};
    }
    [[nodiscard]] auto older() const {
        return [this](Number one, Number other) { return end_of(one) < end_of(other); };
    }
    [[nodiscard]] Age age_of(Number number) const {
        return {over_[number].ended, over_[number].job.id()};
    }
    // Absent: it is not kept.
    [[nodiscard]] std::optional<Number> number_of(const Age& age) const;
    // Of the whole ones. Absent: there is none.
    [[nodiscard]] std::optional<Number> newest() const;
    void drop_if_none(uid_t payer);
    // Precondition: he has a whole one. Never his newest, unless there is no other.
    [[nodiscard]] Number first_to_go(const OfPayer& own) const;
    // Of the payer that has most of this (of several, the one whose oldest is oldest) the first to
    // go. Absent: nobody has any whole one.
    template <typename Most>
    [[nodiscard]] std::optional<Number> first_of_greatest(Most most) const;

    Retention bounds_;
    std::function<bool(const JobId& job)> is_read_;
    Slab<Over> over_;
    Order all_;
    Order keys_;  // of those: kept for their key alone
    std::map<JobId, Running> running_;
    std::unordered_map<uid_t, OfPayer> of_payer_;
    std::uint64_t stored_ = 0;
    std::uint64_t running_bytes_ = 0;
    std::uint64_t freeable_ = 0;
};

}  // namespace postern::jobs
