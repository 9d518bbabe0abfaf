#include "daemon/guard/calls/calls.h"

#include <array>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/limits.h"
#include "daemon/guard/calls/admission.h"
#include "daemon/guard/calls/cancelling.h"
#include "daemon/guard/calls/decision.h"
#include "daemon/guard/calls/following.h"
#include "daemon/guard/calls/job_view.h"
#include "daemon/guard/calls/own_jobs.h"
#include "daemon/jobs/record/job_key.h"

namespace postern {
namespace {

constexpr unsigned by(Way way) {
    return 1U << static_cast<unsigned>(way);
}
// The administrator's socket serves its caller's calls as well.
constexpr unsigned by_connection = by(Way::stream) | by(Way::administrator);
constexpr unsigned by_packet = by(Way::datagram);

template <typename Asked, std::size_t index = 0>
constexpr std::size_t index_of() {
    if constexpr (std::is_same_v<std::variant_alternative_t<index, Call>, Asked>) {
        return index;
    } else {
        return index_of<Asked, index + 1>();
    }
}

std::size_t text_bytes(const Scalar& value) {
    const auto* text = std::get_if<std::string>(&value);
    return text != nullptr ? text->size() : 0;
}

std::size_t text_bytes(const Arguments& arguments) {
    std::size_t bytes = 0;
    for (const auto& [name, value] : arguments) {
        bytes += name.size();
        if (const auto* text = std::get_if<std::string>(&value)) bytes += text->size();
        if (const auto* items = std::get_if<std::vector<Scalar>>(&value)) {
            for (const Scalar& item : *items) bytes += text_bytes(item);
        }
    }
    return bytes;
}

// Whether a caller can have sent this much: what is said of a call, to the session and in the
// audit, is then bounded too.
bool could_be_a_callers(const Call& asked) {
    const auto is_text = [](const std::string& text) {
        return text.size() <= limits::json_string_bytes;
    };
    return std::visit(
        [&](const auto& call) {
            bool fits = true;
            if constexpr (requires { call.action; }) fits = fits && is_text(call.action);
            if constexpr (requires { call.user; }) fits = fits && is_text(call.user);
            if constexpr (requires { call.job; }) fits = fits && is_text(call.job.text());
            if constexpr (requires { call.arguments; }) {
                fits = fits && text_bytes(call.arguments) <= limits::message_bytes;
            }
            if constexpr (requires { call.input; }) {
                fits = fits && (!call.input || call.input->size() <= limits::input_bytes);
            }
            return fits;
        },
        asked);
}

}  // namespace

template <typename Asked, auto handler>
void Calls::serve(Calls& calls, const CallPtr& call, const Call& asked) {
    (calls.*handler)(call, std::get<Asked>(asked));
}

template <typename Asked, auto handler>
void Calls::serve_owner(Calls& calls, const CallPtr& call, const Call& asked) {
    const auto job = own_job_or_refuse(*call, calls.environment_.jobs, std::get<Asked>(asked).job,
                                       *calls.environment_.snapshot);
    if (!job) return;
    if constexpr (std::is_invocable_v<decltype(handler), Calls&, const CallPtr&,
                                      const jobs::Record&, const Asked&>) {
        (calls.*handler)(call, *job, std::get<Asked>(asked));
    } else {
        (calls.*handler)(call, *job);
    }
}

template <typename Asked, Calls::Who who, auto handler>
constexpr Calls::Row Calls::row(std::string_view name, unsigned ways) {
    if constexpr (who == Who::owner) {
        return {name, who, ways, index_of<Asked>(), &Calls::serve_owner<Asked, handler>};
    } else {
        return {name, who, ways, index_of<Asked>(), &Calls::serve<Asked, handler>};
    }
}

struct Calls::Table {
    static constexpr std::array<Row, std::variant_size_v<Call>> rows = {
        row<RunCall, Who::caller, &Calls::run>("Run", by_connection | by_packet),
        row<FollowCall, Who::owner, &Calls::follow>("Follow", by_connection),
        row<LookUpCall, Who::owner, &Calls::look_up>("LookUp", by_connection),
        row<CheckCall, Who::caller, &Calls::check>("Check", by_connection | by_packet),
        row<DescribeCall, Who::caller, &Calls::describe_action>("Describe",
                                                                by_connection | by_packet),
        row<AwaitOutput, Who::caller, &Calls::await_output>("AwaitOutput", by_connection),
        row<OutputTaken, Who::caller, &Calls::output_taken>("OutputTaken", by_connection),
        row<ManageCall, Who::administrator, &Calls::manage>("Manage", by(Way::administrator)),
        row<HandOver, Who::caller, &Calls::hand_over>("HandOver", by_connection),
        row<CancelCall, Who::owner, &Calls::cancel>("Cancel", by_connection),
        row<CancelAllCall, Who::administrator, &Calls::cancel_all>("CancelAll",
                                                                   by(Way::administrator)),
        row<ListCall, Who::caller, &Calls::list_jobs>("List", by_connection),
        row<UnitCall, Who::caller, &Calls::tell_unit>("Unit", by_connection | by_packet),
    };
    // Each call has its row, and nobody but the administrator comes to what is the administrator's.
    static constexpr bool is_sound() {
        for (std::size_t index = 0; index < rows.size(); ++index) {
            if (rows[index].index() != index) return false;
            const bool open = rows[index].allows(Way::stream) || rows[index].allows(Way::datagram);
            if (rows[index].who() == Who::administrator && open) return false;
        }
        return true;
    }
};
std::span<const Calls::Row> Calls::rows() {
    static_assert(Table::is_sound());
    return Table::rows;
}

void Calls::handle(const CallPtr& call, const Call& asked) {
    const Row& row = Table::rows.at(asked.index());
    if (!row.allows(call->origin().way)) {
        return call->link().violated(call->is_packet()
                                         ? "it used a datagram as if it were a connection"
                                         : "it asked for administration on a caller's connection");
    }
    if (!could_be_a_callers(asked)) {
        return call->link().violated("it asked for more than a message can hold");
    }
    const bool goes_on = std::holds_alternative<AwaitOutput>(asked) ||
                         std::holds_alternative<OutputTaken>(asked) ||
                         std::holds_alternative<HandOver>(asked);
    if (!goes_on && call->link().kept() != nullptr) {
        return call->link().violated("it used the number of a pending call");
    }
    row.serve_(*this, call, asked);
}

void Calls::run(const CallPtr& call, const RunCall& asked) {
    if (!asked.key.empty() && !is_job_key(asked.key)) {
        return call->link().violated("it sent a key that is none");
    }
    std::make_shared<Run>(call, asked, environment_)->begin();
}

void Calls::follow(const CallPtr& call, const jobs::Record& job, const FollowCall& asked) {
    answer_with(call, environment_.jobs, job, asked.stored);
}

void Calls::look_up(const CallPtr& call, const jobs::Record& job) {
    call->answer(JobFound{view_of(*call, environment_.jobs, job)});
}

void Calls::list_jobs(const CallPtr& call, const ListCall& asked) {
    if (asked.all && call->origin().way != Way::administrator) {
        return call->link().violated("it asked for everybody's jobs on a caller's connection");
    }
    const bool is_place = !asked.before || jobs::JobKey::of(asked.before_job.text());
    if (asked.limit == 0 || asked.limit > limits::jobs_per_page || !is_place) {
        return call->link().violated("it asked for a list of jobs that there is not");
    }
    answer_with_page(*call, environment_.jobs, *environment_.snapshot, asked);
}

void Calls::cancel(const CallPtr& call, const jobs::Record& job, const CancelCall& asked) {
    cancel_job(call, environment_, job, asked);
}

void Calls::cancel_all(const CallPtr& call, const CancelAllCall& asked) {
    cancel_all_of(call, environment_, asked);
}

// At once where the action files are what they were when they were read.
void Calls::when_current(const CallPtr& call, const std::string& action,
                         std::function<void()> then) {
    if (environment_.current.is_current(action)) return then();
    CurrentPolicy::Clock::time_point until;
    environment_.current.wait(call, action, until, [then = std::move(then)](bool current) {
        if (current) then();
    });
}

void Calls::check(const CallPtr& call, const CheckCall& asked) {
    when_current(call, asked.action, [this, call, asked] {
        const auto verdict = decide_or_refuse(*call, *environment_.snapshot, asked.action);
        if (verdict.action == nullptr) return;
        if (!reachable_or_refuse(*call, *verdict.action)) return;
        if (!bind_or_refuse(*call, *verdict.action, asked.arguments)) return;
        if (!startable_or_refuse(*call, *verdict.action)) return;
        if (room_or_refuse(*call, environment_, asked.action)) call->answer(CheckPassed{});
    });
}

void Calls::describe_action(const CallPtr& call, const DescribeCall& asked) {
    when_current(call, asked.action, [this, call, asked] {
        const auto verdict = decide_or_refuse(*call, *environment_.snapshot, asked.action);
        if (verdict.action != nullptr) call->answer(Described{verdict.action->description});
    });
}

// NOLINTNEXTLINE(readability-convert-member-functions-to-static): a row's handler
void Calls::await_output(const CallPtr& call, const AwaitOutput& asked) {
    // The job may have ended while the message was on its way: JobEnded says all.
    if (OngoingCall* ongoing = call->link().kept()) ongoing->await_output(asked);
}

// NOLINTNEXTLINE(readability-convert-member-functions-to-static): a row's handler
void Calls::output_taken(const CallPtr& call, const OutputTaken& asked) {
    OngoingCall* const ongoing = call->link().kept();
    if (ongoing != nullptr && !ongoing->output_taken(asked)) {
        call->link().violated("it said that its client has output that there is not");
    }
}

// NOLINTNEXTLINE(readability-convert-member-functions-to-static): a row's handler
void Calls::hand_over(const CallPtr& call, const HandOver& asked) {
    OngoingCall* const ongoing = call->link().kept();
    if (ongoing == nullptr || asked.reply.size() > limits::started_reply_bytes) {
        return call->link().violated("it handed over what there is not");
    }
    ongoing->hand_over(call, asked);
}

// NOLINTNEXTLINE(readability-convert-member-functions-to-static): a row's handler
void Calls::tell_unit(const CallPtr& call, const UnitCall& /*asked*/) {
    call->answer(CallerUnit{call->origin().unit.value_or("")});
}

void Calls::manage(const CallPtr& call, const ManageCall& asked) {
    administration_.handle(call, asked);
}

}  // namespace postern
