// What attach, logs and wait share: a job that was started before, by its id.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "ctl/verbs/invocation.h"
#include "ctl/wire/job_follower.h"
#include "model/action.h"

namespace postern::ctl {

inline constexpr Option option_tail{
    .name = "tail", .value = "N", .help = "start with the last N lines of each stream"};

// What is wrong with --tail; empty: nothing.
std::string object_to_tail(const Invocation& invocation);
// Adds it to the parameters of Follow, where it was given.
void put_tail(nlohmann::json& parameters, const Invocation& invocation);

// What the daemon says of a job.
struct FoundJob {
    std::string job;  // the whole id
    std::string action;
    std::chrono::seconds age{0};
    bool over = false;  // it has ended, or never began
};
// By its id, or what the daemon takes for one. What went wrong was said.
Result<FoundJob, Failed> find_job(Connection& connection, const Target& target,
                                  const std::string& job);

class Attached final : public JobFollower {
  public:
    // `parameters`: of the first Follow, beside the job.
    Attached(const Invocation& invocation, FoundJob found, nlohmann::json parameters,
             Connection connection, const Interrupt* interrupt, const FollowWish& wish);

    // Asks for what the action declares, for what is said of the job; what goes wrong is not said,
    // unless it leaves no connection.
    Result<void, Failed> describe();

  private:
    Result<std::optional<Call>, Failed> first_call() override;
    [[nodiscard]] const ActionDescription* description() const override {
        return description_ ? &*description_ : nullptr;
    }
    std::optional<int> named(const nlohmann::json& parameters) override;
    std::string given_up() override;

    std::string action_name_;
    bool over_ = false;
    nlohmann::json parameters_;
    bool tells_ = false;  // of output that is not stored
    std::optional<ActionDescription> description_;
};

}  // namespace postern::ctl
