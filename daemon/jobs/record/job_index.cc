#include "daemon/jobs/record/job_index.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <unordered_map>

namespace postern::jobs {
namespace {

// For one page: some milliseconds.
constexpr std::size_t most_looked_at_for_page = 50'000;

}  // namespace

// ---- Which there are ----

void JobIndex::add(const Record& record, std::uint64_t unit, std::uint64_t key) {
    remove(record.job);
    const JobFacts known = facts_of(record, unit);
    const JobResult& result = known.result;
    Entry entry;
    entry.job = JobKey::of(record.job.text()).value_or(JobKey());
    entry.created = known.created;
    entry.started = result.started;
    entry.ended = result.ended;
    entry.cpu = static_cast<std::uint64_t>(result.cpu.count());
    entry.unit = unit;
    entry.key = key;
    entry.max_resident_kib = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        result.max_resident_kib, std::numeric_limits<std::uint32_t>::max()));
    entry.action = actions_.add(known.action);
    entry.owner = owners_.add(known.owner);
    entry.status = result.status;
    entry.pid = known.pid;
    entry.state = known.state;
    entry.outcome = result.outcome;
    entry.by_signal = result.by_signal;
    entry.keeps_nothing = keeps_nothing(record);
    entry.unit_counts = known.unit_counts;
    entry.ended_processes = result.ended_processes;
    if (result.cancelled_by) entry.canceller = cancellers_.add(*result.cancelled_by);
    const Number number = entries_.add(entry);
    if (short_result(entry) != result) long_results_.emplace(number, result);

    by_id_.insert(number, in_order<&JobIndex::id_of>());
    by_time_.insert(number, in_order<&JobIndex::time_of_creation>());
    by_owner_.insert(number, in_order<&JobIndex::owner_of_entry>());
    if (key != 0) by_key_.insert(number, in_order<&JobIndex::key_of>());
}

void JobIndex::remove(const JobId& job) {
    const std::optional<Number> number = number_of(job);
    if (!number) return;
    by_id_.erase(*number, in_order<&JobIndex::id_of>());
    by_time_.erase(*number, in_order<&JobIndex::time_of_creation>());
    by_owner_.erase(*number, in_order<&JobIndex::owner_of_entry>());
    const Entry& entry = entries_[*number];
    if (entry.key != 0) by_key_.erase(*number, in_order<&JobIndex::key_of>());
    long_results_.erase(*number);
    actions_.drop(entry.action);
    owners_.drop(entry.owner);
    if (entry.canceller != nobody) cancellers_.drop(entry.canceller);
    entries_.remove(*number);
}

std::optional<JobIndex::Number> JobIndex::number_of(const JobId& job) const {
    const auto wanted = JobKey::of(job.text());
    if (!wanted) return std::nullopt;
    const auto found = by_id_.first_not([&](Number one) { return id_of(one) < *wanted; });
    if (found == by_id_.end() || id_of(by_id_.at(found)) != *wanted) return std::nullopt;
    return by_id_.at(found);
}

// ---- What is known of them ----

JobResult JobIndex::short_result(const Entry& entry) const {
    JobResult result;
    result.outcome = entry.outcome;
    result.by_signal = entry.by_signal;
    result.status = entry.status;
    result.started = entry.started;
    result.ended = entry.ended;
    result.cpu = std::chrono::microseconds(entry.cpu);
    result.max_resident_kib = entry.max_resident_kib;
    result.ended_processes = entry.ended_processes;
    if (entry.canceller != nobody) result.cancelled_by = cancellers_[entry.canceller];
    return result;
}

JobFacts JobIndex::facts(Number number) const {
    const Entry& entry = entries_[number];
    const auto result = long_results_.find(number);
    return {
        entry.job.id(),       actions_[entry.action],
        entry.state,          entry.created,
        owners_[entry.owner], entry.pid,
        entry.unit,           result == long_results_.end() ? short_result(entry) : result->second,
        entry.unit_counts};
}

std::optional<JobFacts> JobIndex::find(const JobId& job) const {
    const std::optional<Number> number = number_of(job);
    return number ? std::optional(facts(*number)) : std::nullopt;
}

std::vector<JobId> JobIndex::with_key(std::uint64_t key) const {
    std::vector<JobId> jobs;
    auto at = by_key_.first_not([&](Number one) { return entries_[one].key < key; });
    for (; at != by_key_.end() && entries_[by_key_.at(at)].key == key; at = by_key_.next(at)) {
        jobs.push_back(id_of(by_key_.at(at)).id());
    }
    return jobs;
}

std::vector<JobId> JobIndex::unstored() const {
    std::vector<JobId> jobs;
    for (auto at = by_id_.begin(); at != by_id_.end(); at = by_id_.next(at)) {
        const Entry& entry = entries_[by_id_.at(at)];
        if (entry.keeps_nothing) jobs.push_back(entry.job.id());
    }
    return jobs;
}

// ---- Those that are asked for ----

// As JobQuery::wants(), of numbers, where each action is asked about once.
class JobIndex::Filter {
  public:
    Filter(const JobIndex& index, const JobQuery& query) : index_(index), query_(query) {
        if (!query.action.empty()) action_ = index.actions_.find(query.action);
    }

    bool wants(const Entry& entry) {
        if (!query_.action.empty() && entry.action != action_) return false;
        if (query_.state && *query_.state != job_state(entry.state)) return false;
        if (entry.created < query_.since) return false;
        if (!query_.caller) return true;
        return query_.caller->is(index_.owners_[entry.owner]) &&
               (query_.caller->unit == entry.unit ||
                !(entry.unit_counts || unit_counts(entry.action)));
    }

  private:
    bool unit_counts(Number action) {
        const auto [known, is_new] = unit_counts_.try_emplace(action, false);
        const auto& caller = query_.caller;
        if (is_new && caller) known->second = caller->unit_counts(index_.actions_[action]);
        return known->second;
    }

    const JobIndex& index_;
    const JobQuery& query_;
    std::optional<Number> action_;
    std::unordered_map<Number, bool> unit_counts_;
};

std::vector<JobIndex::Part> JobIndex::parts(const JobQuery& query) const {
    const auto place =
        query.before
            ? std::optional(std::pair(query.before->created,
                                      JobKey::of(query.before->job.text()).value_or(JobKey())))
            : std::nullopt;
    if (!query.caller) {
        const auto end =
            !place ? by_time_.end()
                   : by_time_.first_not([&](Number one) { return time_of_creation(one) < *place; });
        return {{&by_time_, by_time_.begin(), end}};
    }
    std::vector<Part> found;
    const auto& owners = owners_.all();
    for (auto owner = owners.lower_bound({query.caller->uid, query.caller->gid, 0, false, {}});
         owner != owners.end() && owner->first.uid == query.caller->uid; ++owner) {
        if (!query.caller->is(owner->first)) continue;
        const Number number = owner->second;
        const auto begin =
            by_owner_.first_not([&](Number one) { return entries_[one].owner < number; });
        const auto end = by_owner_.first_not([&](Number one) {
            return !place ? entries_[one].owner <= number
                          : owner_of_entry(one) < std::pair(number, *place);
        });
        found.push_back({&by_owner_, begin, end});
    }
    return found;
}

// Where a page ends is told to whoever asked: so it is the place of a job that the page has, or one
// that is no job's.
JobPage JobIndex::page(const JobQuery& query) const {
    if (!query.beginning.empty()) return beginning_with(query);
    JobPage page;
    Filter filter(*this, query);
    std::vector<Part> all = parts(query);
    const auto newest_of = [](const Part& part) {
        return part.order->at(part.order->previous(part.end));
    };
    std::optional<Number> last;
    for (std::size_t looked_at = 0;; ++looked_at) {
        std::erase_if(all, [](const Part& part) { return part.begin == part.end; });
        const auto part = std::ranges::max_element(
            all, {}, [&](const Part& one) { return time_of_creation(newest_of(one)); });
        if (part == all.end()) return page;
        const Number number = newest_of(*part);
        const Entry& entry = entries_[number];
        if (entry.created < query.since) return page;
        const bool wanted = filter.wants(entry);
        const bool is_full = page.jobs.size() >= query.limit;
        if (wanted && is_full) {
            page.next = JobPlace{page.jobs.back().created, page.jobs.back().job};
            return page;
        }
        const bool is_enough = looked_at >= most_looked_at_for_page;
        if (is_enough && last && entry.created != entries_[*last].created) {
            page.next = JobPlace{entries_[*last].created, JobKey().id()};
            return page;
        }
        if (wanted) page.jobs.push_back(facts(number));
        last = number;
        part->end = part->order->previous(part->end);
    }
}

// There are few: ids are random.
JobPage JobIndex::beginning_with(const JobQuery& query) const {
    JobPage page;
    const auto least = JobKey::least_with(query.beginning);
    if (!least) return page;
    Filter filter(*this, query);
    auto at = by_id_.first_not([&](Number one) { return id_of(one) < *least; });
    for (; at != by_id_.end() && id_of(by_id_.at(at)).begins_with(query.beginning);
         at = by_id_.next(at)) {
        if (!filter.wants(entries_[by_id_.at(at)])) continue;
        if (page.jobs.size() == query.limit) break;
        page.jobs.push_back(facts(by_id_.at(at)));
    }
    return page;
}

}  // namespace postern::jobs
