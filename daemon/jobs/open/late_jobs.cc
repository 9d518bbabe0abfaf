#include "daemon/jobs/open/late_jobs.h"

#include <utility>

namespace postern::jobs {
namespace {

constexpr std::chrono::seconds try_interval{1};

}  // namespace

LateJobs::LateJobs(sd_event* event, std::string why, Open open,
                   std::function<void(const std::string&)> notice)
    : event_(event),
      why_(std::move(why)),
      open_(std::move(open)),
      notice_(std::move(notice)),
      timer_(event, [this] { try_again(); }) {
    if (notice_) notice_(why_ + "; no job is started before");
    (void)timer_.arm(try_interval);
}

void LateJobs::try_again() {
    jobs_ = open_(why_);
    if (!jobs_) {
        (void)timer_.arm(try_interval);
        return;
    }
    why_.clear();
    open_ = {};
    if (actions_) jobs_->actions_changed(actions_);
    if (notice_) notice_("the state directory can be used: jobs are started from now on");
}

std::string_view LateJobs::supervision() const {
    return jobs_ ? jobs_->supervision() : "nobody yet";
}

// Nothing that is remembered has seen it.
std::uint64_t LateJobs::digest(std::span<const gid_t> groups) const {
    return jobs_ ? jobs_->digest(groups) : 0;
}

std::uint64_t LateJobs::digest(std::span<const std::uint8_t> bytes) const {
    return jobs_ ? jobs_->digest(bytes) : 0;
}

Result<JobId> LateJobs::start(const policy::Action& action, const policy::Command& command,
                              const Requester& requester, StartPlace place,
                              std::unique_ptr<Follower> follower,
                              const std::function<bool(const JobId& job)>& admit) {
    if (!jobs_) return fail(why_);
    return jobs_->start(action, command, requester, std::move(place), std::move(follower), admit);
}

Result<Record, NotFound> LateJobs::find(const JobId& job) const {
    if (!jobs_) return Unexpected(NotFound::no_such_job);
    return jobs_->find(job);
}

JobPage LateJobs::page(const JobQuery& query) const {
    return jobs_ ? jobs_->page(query) : JobPage();
}

std::array<std::optional<StreamSizes>, 2> LateJobs::output_sizes(const JobId& job) const {
    if (!jobs_) return {};
    return jobs_->output_sizes(job);
}

// Whoever had given it is told why nothing is started.
Result<std::vector<Record>> LateJobs::find_key(const Requester& who) const {
    if (!jobs_) return std::vector<Record>();
    return jobs_->find_key(who);
}

Result<std::array<UniqueFd, 2>> LateJobs::open_output(const JobId& job) const {
    if (!jobs_) return fail(why_);
    return jobs_->open_output(job);
}

Result<FollowerId> LateJobs::follow(const JobId& job, std::unique_ptr<Follower> follower) {
    if (!jobs_) return fail(why_);
    return jobs_->follow(job, std::move(follower));
}

void LateJobs::leave(const JobId& job, FollowerId follower, Leaving leaving) {
    if (jobs_) jobs_->leave(job, follower, leaving);
}

void LateJobs::await_output(const JobId& job, FollowerId follower, std::uint64_t stdout_offset,
                            std::uint64_t stderr_offset) {
    if (jobs_) jobs_->await_output(job, follower, stdout_offset, stderr_offset);
}

bool LateJobs::taken(const JobId& job, FollowerId follower, std::uint64_t stdout_offset,
                     std::uint64_t stderr_offset) {
    return !jobs_ || jobs_->taken(job, follower, stdout_offset, stderr_offset);
}

void LateJobs::end(const JobId& job, Outcome outcome) {
    if (jobs_) jobs_->end(job, outcome);
}

std::optional<Cancelled> LateJobs::cancel(const JobId& job, const Cancellation& how) {
    return jobs_ ? jobs_->cancel(job, how) : std::nullopt;
}

void LateJobs::close_pipes(std::vector<UniqueFd> ends) {
    if (jobs_) jobs_->close_pipes(std::move(ends));
}

bool LateJobs::has_room_for_key(uid_t payer) {
    return !jobs_ || jobs_->has_room_for_key(payer);
}

bool LateJobs::makes_room() {
    return jobs_ && jobs_->makes_room();
}

std::string LateJobs::disk_full() {
    return jobs_ ? jobs_->disk_full() : std::string();
}

std::string LateJobs::state_problem() {
    return jobs_ ? jobs_->state_problem() : why_;
}

std::string LateJobs::record_problem() const {
    return jobs_ ? jobs_->record_problem() : why_;
}

// A start is refused, and need not wait for that.
bool LateJobs::ready() const {
    return !jobs_ || jobs_->ready();
}

std::string LateJobs::output_problem() const {
    return jobs_ ? jobs_->output_problem() : std::string();
}

std::size_t LateJobs::active(uid_t payer) const {
    return jobs_ ? jobs_->active(payer) : 0;
}

std::size_t LateJobs::active() const {
    return jobs_ ? jobs_->active() : 0;
}

std::size_t LateJobs::unproven(std::optional<uid_t> payer) const {
    return jobs_ ? jobs_->unproven(payer) : 0;
}

bool LateJobs::settled() const {
    return !jobs_ || jobs_->settled();
}

std::vector<ActiveJob> LateJobs::list() const {
    return jobs_ ? jobs_->list() : std::vector<ActiveJob>();
}

void LateJobs::actions_changed(const policy::SnapshotPtr& actions) {
    actions_ = actions;
    if (jobs_) jobs_->actions_changed(actions);
}

void LateJobs::shut_down(std::function<void()> done) {
    timer_.disarm();
    if (jobs_) return jobs_->shut_down(std::move(done));
    (void)add_defer(event_, shut_down_, std::move(done));
}

}  // namespace postern::jobs
