#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/utf8.h"
#include "ctl/text/columns.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/field_text.h"
#include "ctl/text/job_text.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/text/point_in_time.h"
#include "ctl/verbs/job_options.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

constexpr std::array<std::string_view, 4> job_states = {"starting", "running", "ended", "failed"};

constexpr Option option_action{.name = "action",
                               .value = "ACTION",
                               .help = "jobs of this action",
                               .completes = Completes::actions};
constexpr Option option_state{
    .name = "state",
    .value = "STATE",
    .help =
        "jobs that are starting, running, ended, or failed (could not be\n"
        "started)",
    .completes = Completes::listed,
    .listed = job_states};
constexpr Option option_failed{
    .name = "failed",
    .value = "",
    .help = "jobs that could not be started, or did not end with exit code 0"};
constexpr Option option_since{
    .name = "since",
    .value = "TIME",
    .help =
        "jobs created since then: an age (10m, 2h, 1d), or a local date and time\n"
        "(2026-11-01, \"2026-11-01 12:00\")"};
constexpr Option option_limit{
    .name = "limit", .value = "N", .help = "not more than the N newest; if not given, 100; 0: all"};
constexpr std::array jobs_options = {option_all,    option_action, option_state,
                                     option_failed, option_since,  option_limit};

std::int64_t now_in_usec() {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

// Absent: it is not one. 0 stands for all.
std::optional<std::uint64_t> limit_of(const Invocation& invocation) {
    const std::string* text = invocation.value_of(option_limit);
    if (text == nullptr) return limits::jobs_listed;
    std::uint64_t limit = 0;
    const char* const end = text->data() + text->size();
    const auto read = std::from_chars(text->data(), end, limit);
    if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
    return limit == 0 ? std::numeric_limits<std::uint64_t>::max() : limit;
}

std::string object_to_jobs(const Invocation& invocation) {
    if (!limit_of(invocation)) {
        return "jobs: --limit: " + in_quotes(*invocation.value_of(option_limit)) +
               " is not a number of jobs; give 1 or more, or 0 for all";
    }
    const std::string* state = invocation.value_of(option_state);
    if (state != nullptr && std::ranges::find(job_states, *state) == job_states.end()) {
        return "jobs: --state: " + in_quotes(*state) +
               " is not a state; give starting, running, ended or failed";
    }
    if (state != nullptr && invocation.given(option_failed)) {
        return "jobs: --state and --failed can't be combined; give one of them";
    }
    const std::string* since = invocation.value_of(option_since);
    if (since == nullptr) return {};
    const auto time = parse_point_in_time(*since, now_in_usec());
    return time ? std::string() : "jobs: --since: " + time.error().message;
}

nlohmann::json question_of(const Invocation& invocation) {
    nlohmann::json question = nlohmann::json::object();
    if (invocation.given(option_all)) question["all"] = true;
    if (const auto* action = invocation.value_of(option_action)) question["action"] = *action;
    if (const auto* state = invocation.value_of(option_state)) question["state"] = *state;
    const std::string* since = invocation.value_of(option_since);
    if (since == nullptr) return question;
    if (const auto time = parse_point_in_time(*since, now_in_usec())) question["since"] = *time;
    return question;
}

// One line of the table, for whom has a terminal of this width; 0: a program, or a file.
std::vector<std::string> row_of(const nlohmann::json& job, bool all, std::size_t width) {
    constexpr std::size_t digits_on_terminal = 12;
    std::string id = text_of(job, "job");
    if (width != 0) id.resize(std::min(id.size(), digits_on_terminal));
    std::vector<std::string> row = {std::move(id), text_of(job, "action")};
    if (all) row.push_back(user_of(job));
    row.push_back(job_state_text(job));
    row.push_back(point_in_time_text(number_of(job, "createdAt")));
    row.push_back(job_time_text(job));
    return row;
}

std::vector<std::string> heading(bool all) {
    if (all) return {"JOB", "ACTION", "USER", "STATE", "CREATED", "TIME"};
    return {"JOB", "ACTION", "STATE", "CREATED", "TIME"};
}

int print_jobs(const Invocation& invocation, const std::vector<nlohmann::json>& jobs) {
    if (invocation.target.json) {
        std::string lines;
        for (const auto& job : jobs) lines += safe_json(known_of_job(job)) + "\n";
        return finish(lines);
    }
    if (jobs.empty()) return finish("");
    const std::size_t width = terminal_width();
    const bool all = invocation.given(option_all);
    std::vector<std::vector<std::string>> rows;
    if (width != 0) rows.push_back(heading(all));
    for (const auto& job : jobs) rows.push_back(row_of(job, all, width));
    // JOB tells them apart, and the newest come first.
    const std::size_t created = rows.front().size() - 2;
    return finish(columns(std::move(rows), width, 1, created));
}

int run_jobs(const Invocation& invocation) {
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    const std::uint64_t limit = limit_of(invocation).value_or(0);
    nlohmann::json question = question_of(invocation);
    std::vector<nlohmann::json> jobs;
    bool more = true;
    const bool failed = invocation.given(option_failed);
    while (more && jobs.size() < limit) {
        // How many of a page have failed is not known before.
        question["limit"] =
            failed ? limits::jobs_per_page
                   : std::min<std::uint64_t>(limit - jobs.size(), limits::jobs_per_page);
        const auto reply = ask(*connection, invocation.target, "org.postern.Jobs.List", question);
        if (!reply) return reply.error().code;
        for (const auto& job : array_field(*reply, "jobs")) {
            if (!failed || job_has_failed(job)) jobs.push_back(job);
        }
        const auto next = string_field(*reply, "next");
        more = next && question.value("before", "") != *next;
        if (more) question["before"] = *next;
    }
    if (jobs.size() > limit) {
        jobs.resize(limit);
        more = true;
    }
    const int code = print_jobs(invocation, jobs);
    if (code != exit_code::success || invocation.target.json) return code;
    if (jobs.empty()) {
        const auto* const state = invocation.value_of(option_state);
        complain(state != nullptr && *state == "failed"
                     ? "there are no jobs on record that could not be started; --failed also lists "
                       "those that did not end with exit code 0"
                     : "there are no such jobs on record");
    }
    if (more && !invocation.given(option_limit)) {
        complain("there may be more jobs; --limit N lists more of them");
    }
    return code;
}

}  // namespace

constinit const Verb verb_jobs{
    .name = "jobs",
    .synopsis = "",
    .summary = "list your jobs, the newest first",
    .help =
        R"(Jobs that run, and jobs that have ended and are still on record. The last column says how long a job
took, or has been running. On a terminal the ids are shortened, and the table fits its width:
if it is narrow, without CREATED.

Examples:
  posternctl jobs
  posternctl jobs --state running
  posternctl jobs --failed --since 1d
  posternctl jobs --action web.restart --since 2h
  sudo posternctl jobs --all --json
)",
    .options = jobs_options,
    .asks_with = whom_jobs_ask,
    .objection = object_to_jobs,
    .run = run_jobs,
};

}  // namespace postern::ctl
