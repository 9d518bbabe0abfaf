// What is known in memory of the jobs that have ended: as little as a list of them needs. It is to
// be at most 200 bytes of each, with what KeptJobs knows of it, whatever its record has (measured
// by tests/bench/records.cc). The record's file has the rest.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/jobs/record/interned.h"
#include "daemon/jobs/record/job_facts.h"
#include "daemon/jobs/record/job_key.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/record/slab.h"
#include "daemon/jobs/record/sorted_blocks.h"
#include "model/job.h"

namespace postern::jobs {

class JobIndex {
  public:
    // `unit`: unit_number() of its requester's. `key`: a number that stands for its owner and its
    // key; 0: it has none. Precondition: its id is one.
    void add(const Record& record, std::uint64_t unit, std::uint64_t key);
    void remove(const JobId& job);

    [[nodiscard]] bool contains(const JobId& job) const { return number_of(job).has_value(); }
    [[nodiscard]] std::optional<JobFacts> find(const JobId& job) const;
    [[nodiscard]] std::vector<JobId> with_key(std::uint64_t key) const;
    // Those that keep nothing of their output.
    [[nodiscard]] std::vector<JobId> unstored() const;
    // The work for one page is bounded, whatever is asked for.
    [[nodiscard]] JobPage page(const JobQuery& query) const;

  private:
    using Number = Slab<int>::Number;
    static constexpr Number nobody = std::numeric_limits<Number>::max();
    struct Entry {
        JobKey job;
        Time created;
        Time started;
        Time ended;
        std::uint64_t cpu = 0;
        std::uint64_t unit = 0;
        std::uint64_t key = 0;
        std::uint32_t max_resident_kib = 0;
        Number action = 0;
        Number owner = 0;
        Number canceller = nobody;
        std::uint32_t ended_processes = 0;
        std::int32_t status = 0;
        pid_t pid = 0;
        RecordState state = RecordState::ended;
        Outcome outcome = Outcome::lost;
        bool by_signal : 1 = false;
        bool keeps_nothing : 1 = false;
        bool unit_counts : 1 = false;
    };
    using Order = SortedBlocks<Number>;
    // A part of an order that ends with what is newest; it is taken from there.
    struct Part {
        const Order* order;
        Order::Position begin;
        Order::Position end;
    };
    class Filter;

    [[nodiscard]] std::optional<Number> number_of(const JobId& job) const;
    [[nodiscard]] JobFacts facts(Number number) const;
    [[nodiscard]] JobResult short_result(const Entry& entry) const;
    // What the orders go by.
    [[nodiscard]] JobKey id_of(Number number) const { return entries_[number].job; }
    [[nodiscard]] std::pair<Time, JobKey> time_of_creation(Number number) const {
        return {entries_[number].created, entries_[number].job};
    }
    [[nodiscard]] std::pair<Number, std::pair<Time, JobKey>> owner_of_entry(Number number) const {
        return {entries_[number].owner, time_of_creation(number)};
    }
    [[nodiscard]] std::pair<std::uint64_t, JobKey> key_of(Number number) const {
        return {entries_[number].key, entries_[number].job};
    }
    template <auto part>
    [[nodiscard]] auto in_order() const {
        return
            [this](Number one, Number other) { return (this->*part)(one) < (this->*part)(other); };
    }
    [[nodiscard]] std::vector<Part> parts(const JobQuery& query) const;
    [[nodiscard]] JobPage beginning_with(const JobQuery& query) const;

    Slab<Entry> entries_;
    Interned<std::string> actions_;
    Interned<JobOwner> owners_;
    Interned<Canceller> cancellers_;
    // Of the few whose result has what an entry has no room for.
    std::map<Number, JobResult> long_results_;
    Order by_id_;
    Order by_time_;   // of creation
    Order by_owner_;  // then by time of creation
    Order by_key_;    // of those that have one
};

}  // namespace postern::jobs
