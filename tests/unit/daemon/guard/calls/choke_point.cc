#include "tests/unit/daemon/guard/calls/choke_point.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace postern {
namespace {

UniqueFd nothing_to_read() {
    return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

class StorySink final : public AuditSink {
  public:
    StorySink(Story& story, const bool& full) : story_(story), full_(full) {}
    bool write(const std::string& line, const AuditFields& /*fields*/,
               AuditRoom /*room*/) override {
        const auto event = nlohmann::json::parse(line);
        std::string text = "audit " + event.at("event").get<std::string>();
        for (const char* key : {"action", "job", "reason", "rule"}) {
            if (event.contains(key)) {
                text += std::string(" ") + key + "=" + event.at(key).get<std::string>();
            }
        }
        story_.push_back(full_ ? text + " (full)" : text);
        return !full_;
    }
    Status ready() override { return full_ ? Status(fail("the story is full")) : Status(); }
    [[nodiscard]] const char* name() const override { return "story"; }

  private:
    Story& story_;
    const bool& full_;
};

std::string refusal_name(Refusal refusal) {
    constexpr std::array<const char*, 13> names = {
        "not_granted",   "invalid_argument", "limit_reached",   "unavailable", "start_failed",
        "no_such_job",   "key_in_use",       "not_by_datagram", "job_ended",   "not_detachable",
        "ambiguous_job", "bad_parameter",    "retryable"};
    return names.at(static_cast<std::size_t>(refusal));
}

std::string say(const Refused& answer) {
    return "Refused " + refusal_name(answer.refusal) + " [" + answer.subject + "]";
}
std::string say(const CheckPassed& /*answer*/) {
    return "CheckPassed";
}
std::string say(const Described& answer) {
    return "Described " + answer.action.name;
}
std::string say(const JobStarted& answer) {
    return "JobStarted " + answer.job.text();
}
std::string say(const JobOutput& /*answer*/) {
    return "JobOutput";
}
std::string say(const JobEnded& answer) {
    return "JobEnded " + std::to_string(answer.result.status);
}
std::string say(const JobFound& answer) {
    return "JobFound " + answer.job.job.text();
}
std::string say(const JobStored& /*answer*/) {
    return "JobStored";
}
std::string say(const JobsListed& answer) {
    std::string text = "JobsListed";
    for (const JobView& job : answer.jobs) text += " " + job.job.text();
    return answer.next ? text + " and more after " + answer.next_job.text() : text;
}
std::string say(const Detached& answer) {
    return "Detached " + answer.job.text();
}
std::string say(const StatusReport& /*answer*/) {
    return "StatusReport";
}
std::string say(const SocketReport& answer) {
    return "SocketReport " + answer.path;
}
std::string say(const CallerReport& answer) {
    return "CallerReport " + std::to_string(answer.uid);
}
std::string say(const HandedOver& /*answer*/) {
    return "HandedOver";
}
std::string say(const WarningReport& answer) {
    return "WarningReport " + answer.message;
}
std::string say(const ProblemReport& answer) {
    return "ProblemReport " + answer.about + ": " + answer.message;
}
std::string say(const BadFileReport& answer) {
    return "BadFileReport " + answer.file;
}
std::string say(const JobReport& answer) {
    return "JobReport " + answer.job.text();
}
std::string say(const CallerUnit& answer) {
    return "CallerUnit [" + answer.unit + "]";
}
std::string say(const JobCancelled& answer) {
    return "JobCancelled " + answer.job.text() + " " +
           (answer.result ? std::to_string(answer.result->status) : "not started");
}
std::string say(const Managed& answer) {
    return answer.done ? "Managed" : "Managed: " + answer.message;
}

}  // namespace

std::string in_words(const CallAnswer& answer) {
    return std::visit([](const auto& one) { return say(one); }, answer);
}

// ---- FakeLink ----

void FakeLink::answer(CallAnswer answer, std::vector<UniqueFd> files) {
    // A job comes with its two files, and nothing else does.
    EXPECT_EQ(files.size(), std::holds_alternative<JobStarted>(answer) ? 2U : 0U);
    story_.push_back((gone_ ? "to nobody: " : "answer ") + in_words(answer));
    last_answer = std::move(answer);
}

void FakeLink::keep(std::unique_ptr<OngoingCall> call) {
    if (gone_) return call->left(jobs::Leaving::interrupted);
    kept_[request_] = std::move(call);
}

OngoingCall* FakeLink::kept() {
    const auto found = kept_.find(request_);
    return found == kept_.end() ? nullptr : found->second.get();
}

// ---- FakeJobs ----

std::uint64_t FakeJobs::digest(std::span<const gid_t> groups) const {
    std::uint64_t sum = 0;
    for (const gid_t group : groups) sum = sum * 65'599 + group;
    return sum;
}

std::uint64_t FakeJobs::digest(std::span<const std::uint8_t> bytes) const {
    std::uint64_t sum = 0;
    for (const std::uint8_t byte : bytes) sum = sum * 65'599 + byte;
    return sum;
}

Result<JobId> FakeJobs::start(const policy::Action& action, const policy::Command& command,
                              const jobs::Requester& requester, jobs::StartPlace place,
                              std::unique_ptr<jobs::Follower> follower,
                              const std::function<bool(const JobId&)>& admit) {
    if (!disk_error.empty()) return fail(disk_error);
    const JobId job("job" + std::to_string(++started_));
    story_.push_back("record " + job.text());
    if (!admit(job)) {
        story_.push_back("no record " + job.text());
        return fail("it was not admitted");
    }
    jobs::Record record;
    record.job = job;
    record.action = action.description.name;
    record.requester = requester;
    record.arguments = command.shown;
    records[job] = record;
    story_.push_back("start " + job.text());
    if (follower) {
        const jobs::Straight straight = follower->straight();
        if (straight.output && straight.input) {
            story_.push_back("both ends");
            follower->take_ends({nothing_to_read(), nothing_to_read()});
        }
        followers[job] = std::move(follower);
    }
    places[job] = std::move(place);
    return job;
}

Result<jobs::Record, jobs::NotFound> FakeJobs::find(const JobId& job) const {
    const auto found = records.find(job);
    if (found == records.end()) return Unexpected(jobs::NotFound::no_such_job);
    if (!records_error.empty()) return Unexpected(jobs::NotFound::unreadable);
    return found->second;
}

jobs::JobPage FakeJobs::page(const jobs::JobQuery& query) const {
    ++pages;
    jobs::JobPage page;
    for (const auto& [job, record] : records) {
        const auto unit =
            jobs::unit_number(record.requester.unit, [this](auto bytes) { return digest(bytes); });
        jobs::JobFacts facts = jobs::facts_of(record, unit);
        if (query.wants(facts)) page.jobs.push_back(std::move(facts));
    }
    std::ranges::sort(page.jobs, std::ranges::greater(), [](const jobs::JobFacts& facts) {
        return jobs::JobPlace{facts.created, facts.job};
    });
    if (page.jobs.size() > query.limit) {
        page.jobs.resize(query.limit);
        page.next = jobs::JobPlace{page.jobs.back().created, page.jobs.back().job};
    }
    return page;
}

std::array<std::optional<StreamSizes>, 2> FakeJobs::output_sizes(const JobId& /*job*/) const {
    return {StreamSizes{10, 4}, StreamSizes{0, 0}};
}

Result<std::vector<jobs::Record>> FakeJobs::find_key(const jobs::Requester& who) const {
    if (!records_error.empty()) return fail(records_error);
    std::vector<jobs::Record> found;
    for (const auto& [job, record] : records) {
        if (owner_of(record.requester) == owner_of(who)) found.push_back(record);
    }
    return found;
}

Result<std::array<UniqueFd, 2>> FakeJobs::open_output(const JobId& /*job*/) const {
    if (!outputs_readable) return fail("no descriptor is left");
    return std::array{nothing_to_read(), nothing_to_read()};
}

Result<jobs::FollowerId> FakeJobs::follow(const JobId& job,
                                          std::unique_ptr<jobs::Follower> follower) {
    if (!outputs_readable) return fail("no descriptor is left");
    story_.push_back("follow " + job.text());
    followers[job] = std::move(follower);
    return jobs::FollowerId{7};
}

void FakeJobs::leave(const JobId& job, jobs::FollowerId follower, jobs::Leaving leaving) {
    story_.push_back("leave " + job.text() + " " + std::to_string(follower) +
                     (leaving == jobs::Leaving::gone ? " gone" : " interrupted"));
    followers.erase(job);
}

void FakeJobs::await_output(const JobId& job, jobs::FollowerId follower,
                            std::uint64_t stdout_offset, std::uint64_t stderr_offset) {
    story_.push_back("await " + job.text() + " " + std::to_string(follower) + " " +
                     std::to_string(stdout_offset) + " " + std::to_string(stderr_offset));
}

bool FakeJobs::taken(const JobId& job, jobs::FollowerId follower, std::uint64_t stdout_offset,
                     std::uint64_t stderr_offset) {
    story_.push_back("taken " + job.text() + " " + std::to_string(follower) + " " +
                     std::to_string(stdout_offset) + " " + std::to_string(stderr_offset));
    return believes_taken;
}

void FakeJobs::end(const JobId& job, Outcome /*outcome*/) {
    story_.push_back("end " + job.text());
}

std::optional<jobs::Cancelled> FakeJobs::cancel(const JobId& job, const jobs::Cancellation& how) {
    jobs::Record& record = records.at(job);
    if (is_over(record.state)) return std::nullopt;
    const bool already = record.cancelling && record.cancelling->signal == how.signal;
    record.cancelling = how;
    record.result.cancelled_by = how.by;
    story_.push_back("cancel " + job.text() + " by " + std::to_string(how.by.uid) + " " +
                     std::to_string(how.signal) + (how.now ? " now" : ""));
    return already ? jobs::Cancelled::already : jobs::Cancelled::now;
}

std::size_t FakeJobs::active(uid_t payer) const {
    return running +
           static_cast<std::size_t>(std::ranges::count_if(records, [&](const auto& entry) {
               return entry.second.requester.payer() == payer && !is_over(entry.second.state);
           }));
}

std::size_t FakeJobs::active() const {
    return running + static_cast<std::size_t>(std::ranges::count_if(
                         records, [](const auto& entry) { return !is_over(entry.second.state); }));
}

std::vector<jobs::ActiveJob> FakeJobs::list() const {
    std::vector<jobs::ActiveJob> all;
    for (const auto& [job, record] : records) {
        if (!is_over(record.state))
            all.push_back({job, record.action, record.requester, "", time_of(1)});
    }
    return all;
}

void FakeJobs::shut_down(std::function<void()> done) {
    done();
}

void FakeJobs::tell_started(const std::string& id) {
    const JobId job(id);
    places.erase(job);
    records.at(job).state = jobs::RecordState::running;
    followers.at(job)->started(job, nothing_to_read(), nothing_to_read());
}

void FakeJobs::tell_start_failed(const std::string& id, bool again) {
    const JobId job(id);
    places.erase(job);
    jobs::Record& record = records.at(job);
    record.state = jobs::RecordState::failed;
    record.told = "it could not";
    record.again = again;
    const auto follower = std::move(followers.at(job));
    followers.erase(job);
    follower->start_failed(job, {"it could not", "why it could not", again});
}

void FakeJobs::tell_ended(const std::string& id, const JobResult& result) {
    const JobId job(id);
    places.erase(job);
    jobs::Record& record = records.at(job);
    record.state = jobs::RecordState::ended;
    record.result = result;
    const auto follower = std::move(followers.at(job));
    followers.erase(job);
    follower->ended(job, result);
}

// ---- ChokePoint ----

ChokePoint::ChokePoint()
    : audit_(
          std::make_unique<Audit>(loop_.get(), std::make_unique<StorySink>(story_, audit_full_))),
      job_audit_(*audit_),
      starts_(std::in_place, loop_.get(), jobs::StartRules{}, [this] { return may_begin_(); }),
      administration_(jobs_, {{"/run/s", false, false}},
                      {[] { return std::vector<CallerReport>{{1000, 1000, "", 42, 1}}; },
                       [] { return std::vector<ProblemReport>{{"socket", "/run/s: gone"}}; },
                       [this] { return ++reloads_; }, [] { return std::string("info"); },
                       [this](const std::string& level) {
                           story_.push_back("log level " + level);
                           return level == "info" ? Status() : Status(fail("no such level"));
                       }}),
      turns_(std::move(*TurnLoop::create(loop_.get()))),
      current_(
          std::make_unique<CurrentPolicy>(loop_.get(), turns_->turns(), CurrentPolicy::Bounds{2, 3},
                                          CurrentPolicy::Hooks{[this](const std::string& action) {
                                                                   compared_.push_back(action);
                                                                   return is_current_;
                                                               },
                                                               [this] { return ++looks_; }})),
      calls_(jobs_, *starts_, job_audit_, limits_, *current_, administration_) {
    FakeLink::can_hand_over = true;
    FakeLink::takes_descriptors = true;
    set_actions();
}

void ChokePoint::set_actions(bool kill_on_disconnect) {
    const auto rule = [](uid_t uid) {
        policy::Rule made;
        made.subject.user = uid;
        made.text = "allow user " + std::to_string(uid);
        made.place = "/a.json:1";
        return made;
    };
    policy::Snapshot snapshot;
    for (const auto& [name, uid] :
         {std::pair{"hello", anna}, {"shut", anna}, {"dump", anna}, {"berta", berta}}) {
        policy::Action action;
        action.description.name = name;
        action.description.kill_on_disconnect = kill_on_disconnect;
        action.description.datagram = std::string(name) == "hello";
        if (std::string(name) == "dump") {
            action.description.input = Input::direct;
            action.description.direct_output = true;
        }
        ArgumentSpec argument;
        argument.name = "n";
        argument.type = ArgumentType::integer;
        argument.required = false;
        ArgumentSpec secret;
        secret.name = "secret";
        secret.required = false;
        secret.secret = true;
        action.description.arguments = {argument, secret};
        action.file = std::string("/") + name + ".json";
        action.program = "/bin/true";
        action.allow = {rule(uid)};
        snapshot.actions.emplace(name, std::move(action));
    }
    calls_.set_snapshot(std::make_shared<const policy::Snapshot>(std::move(snapshot)));
}

Origin ChokePoint::by(uid_t uid, std::vector<gid_t> groups, Way way) {
    std::ranges::sort(groups);
    auto caller = std::make_shared<policy::Caller>();
    caller->uid = uid;
    caller->gid = uid;
    caller->groups = std::move(groups);
    return {std::move(caller), 4711, std::nullopt, "/run/s", way};
}

Origin ChokePoint::packet(uid_t uid) {
    auto caller = std::make_shared<policy::Caller>();
    caller->uid = uid;
    caller->gid = uid;
    caller->groups = {uid};
    caller->groups_known = false;
    return {std::move(caller), 4711, std::nullopt, "/run/d", Way::datagram};
}

Story ChokePoint::call(const Origin& origin, Call asked, std::uint32_t request) {
    story_.clear();
    auto link = std::make_unique<FakeLink>(story_, kept_, request, gone_);
    calls_.handle(std::make_shared<CallContext>(origin, std::move(link), *audit_), asked);
    return since();
}

void ChokePoint::give_turns() {
    while (sd_event_run(loop_.get(), 0) > 0) {
    }
}

Story ChokePoint::since() {
    give_turns();
    return std::exchange(story_, {});
}

jobs::Record ChokePoint::record_of(const std::string& job, jobs::RecordState state) {
    jobs::Record record;
    record.job = JobId(job);
    record.action = "hello";
    record.state = state;
    record.requester.uid = anna;
    record.requester.gid = anna;
    return record;
}

}  // namespace postern
