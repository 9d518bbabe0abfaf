// Who waits for the end of a job without following what it writes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "daemon/jobs/record/record.h"
#include "model/job.h"

namespace postern {

class JobEnds {
  public:
    using Ticket = std::pair<JobId, std::uint64_t>;
    // Called once, from the loop, with the job as it has ended or failed to start; then let go.
    using Told = std::function<void(const jobs::Record& job)>;

    // Precondition: the job has not ended.
    Ticket add(const JobId& job, Told told) {
        Ticket ticket(job, ++last_);
        waiting_.emplace(ticket, std::move(told));
        return ticket;
    }
    // Waits no more. No effect if it was told.
    void remove(const Ticket& ticket) { waiting_.erase(ticket); }
    void tell(const jobs::Record& job) {
        std::vector<Told> told;
        auto next = waiting_.lower_bound({job.job, 0});
        while (next != waiting_.end() && next->first.first == job.job) {
            told.push_back(std::move(next->second));
            next = waiting_.erase(next);
        }
        for (const Told& one : told) one(job);
    }

  private:
    std::map<Ticket, Told> waiting_;
    std::uint64_t last_ = 0;
};

}  // namespace postern
