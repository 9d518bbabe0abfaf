#include "ctl/wire/job_follower.h"

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "base/utf8.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/job_end.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/wire/connect.h"

namespace postern::ctl {
namespace {

// After a daemon that went has not come back for so long, it is given up.
constexpr std::chrono::seconds return_patience{3};
constexpr std::chrono::milliseconds between_tries{100};
// Connections in a row that end soon and bring nothing new: the second may have met a daemon that
// was just leaving, too.
constexpr int most_fruitless = 3;
constexpr std::chrono::seconds soon{1};
// For the SIGHUP of a terminal that is gone: where a shell stands between, it dies of its own
// first.
constexpr std::chrono::milliseconds hangup_patience{500};

bool is_hung_up(int fd) {
    pollfd watched{.fd = fd, .events = 0, .revents = 0};
    return poll(&watched, 1, 0) > 0 && (watched.revents & POLLHUP) != 0;
}

}  // namespace

JobFollower::JobFollower(const Target& target, std::string command, Connection connection,
                         const Interrupt* interrupt, const FollowWish& wish)
    : target_(target),
      command_(std::move(command)),
      connection_(std::move(connection)),
      interrupt_(interrupt),
      wish_(wish),
      output_(wish.to, target.json, interrupt == nullptr ? -1 : interrupt->fd()) {}

void JobFollower::set_action(std::string action) {
    output_.set_action(action);
    action_ = std::move(action);
}

int JobFollower::run() {
    std::optional<NoReply> broken;  // by what, since something new came
    for (int fruitless = 0;;) {
        const auto begun = std::chrono::steady_clock::now();
        const auto code = converse();
        if (code) {
            notice_.end();
            return *code;
        }
        const bool short_lived = std::chrono::steady_clock::now() - begun < soon;
        fruitless = fruitful_ || !short_lived ? 0 : fruitless + 1;
        was_broken_ = true;
        const bool ended = code.error().why == NoReply::Why::ended;
        if (!ended || fruitless == 0 || !broken) broken = code.error();
        if (!ended || fruitless >= most_fruitless || !connect_again()) {
            notice_.end();
            if (Interrupt::signal() != 0) return interrupted();
            return refusal_ ? report(target_, *refusal_).code : without_reply(*broken);
        }
    }
}

Result<std::optional<JobFollower::Call>, Failed> JobFollower::next_call() {
    if (!named_) return first_call();
    Call call{"org.postern.Jobs.Follow", {{"job", job_}}};
    if (wish_.output) {
        for (std::size_t which = 0; which < output_streams.size(); ++which) {
            call.parameters[output_streams.at(which).offset] = output_.offsets().at(which);
        }
    } else {
        call.parameters["output"] = false;
    }
    if (wish_.stored) call.parameters["stored"] = true;
    return std::optional(std::move(call));
}

Result<int, NoReply> JobFollower::converse() {
    fruitful_ = false;
    POSTERN_TRY(const auto nothing, prepare());
    if (nothing) return *nothing;
    const auto call = next_call();
    if (!call) return call.error().code;
    const auto& wanted = *call;
    if (!wanted) return Unexpected(NoReply{NoReply::Why::interrupted, {}});
    connection_.queue(protocol::encode_call(wanted->method, wanted->parameters, {.more = true}));
    sent_ = true;
    for (;;) {
        auto come = connection_.wait(std::chrono::milliseconds::zero(), interrupt(), &notice_);
        notice_.stir();
        if (const auto code = straight_failed()) return *code;
        POSTERN_TRY(auto message, std::move(come));
        // Of a job that is known, or may have been started, it says nothing.
        if (was_broken_ && is_turned_away(message.reply)) {
            return Unexpected(NoReply{NoReply::Why::ended,
                                      target_.socket + ": " + error_text(message.reply, target_)});
        }
        if (never_began(message.reply)) {
            refusal_ = std::move(message.reply);
            return Unexpected(NoReply{NoReply::Why::ended, {}});
        }
        if (!named_ && !called_anew_ && needs_new_connection(message.reply)) {
            return call_anew(message.reply);
        }
        refusal_.reset();
        if (const auto code = take(message)) return *code;
    }
}

Result<int, NoReply> JobFollower::call_anew(const protocol::Reply& refusal) {
    called_anew_ = true;
    auto socket = connect_to(target_.socket, connect_patience);
    if (!socket) return report(target_, refusal).code;
    connection_ = Connection(std::move(*socket), target_.socket);
    return converse();
}

// A daemon that stopped or was replaced before it had started the job: the next one starts it.
bool JobFollower::never_began(const protocol::Reply& reply) const {
    if (!job_.empty()) return false;
    return is_retryable(reply) || (was_broken_ && reply.error == "org.postern.Actions.Unavailable");
}

bool JobFollower::connect_again() {
    // Else the daemon would not know the call again, and might run it twice.
    if (sent_ && !named_ && !may_repeat()) return false;
    if (isatty(STDERR_FILENO) == 1) complain("the daemon broke off; connecting again");
    const auto end = std::chrono::steady_clock::now() + return_patience;
    for (;;) {
        auto socket = connect_to(target_.socket, std::chrono::seconds{1});
        if (socket) {
            connection_ = Connection(std::move(*socket), target_.socket);
            return true;
        }
        if (std::chrono::steady_clock::now() >= end) return false;
        pollfd watched{.fd = interrupt(), .events = POLLIN, .revents = 0};
        poll(&watched, 1, static_cast<int>(between_tries.count()));
        if (Interrupt::signal() != 0) return false;
    }
}

std::string JobFollower::job_text() const {
    return "job " + printable(job_) + " (" + printable(action_) + ")";
}

std::string JobFollower::attach_command() const {
    return command_ + " attach " + printable(job_);
}

std::string JobFollower::left_behind() {
    const ActionDescription* const action = description();
    if (action == nullptr) {
        return job_text() + " continues, or is ended, as the action declares; " + attach_command() +
               " shows which";
    }
    if (action->kill_on_disconnect) return job_text() + " is being ended";
    return job_text() + " continues; " + attach_command() + " shows it";
}

int JobFollower::interrupted() {
    complain("interrupted: " + (job_.empty() ? not_named() : left_behind()));
    return exit_code_of_signal(Interrupt::signal());
}

std::string JobFollower::given_up() {
    return "posternctl no longer waits for " + job_text();
}

// Writing to a terminal that is gone may fail before its SIGHUP has come.
int JobFollower::unwritable(const std::string& why) {
    if (interrupt() >= 0 && (is_hung_up(STDOUT_FILENO) || is_hung_up(STDERR_FILENO))) {
        pollfd watched{.fd = interrupt(), .events = POLLIN, .revents = 0};
        poll(&watched, 1, static_cast<int>(hangup_patience.count()));
    }
    if (Interrupt::signal() != 0) return interrupted();
    complain(why + "; " + given_up());
    if (Interrupt::pipe_was_closed()) Interrupt::end_by_closed_pipe();
    return exit_code::broken;
}

int JobFollower::without_reply(const NoReply& none) const {
    if (!sent_ || job_.empty()) return report(none).code;
    complain(none.message + "; " + job_text() +
             " may still be running: when the daemon runs again, " + attach_command() +
             " shows it");
    return exit_code::broken;
}

std::optional<int> JobFollower::straight_failed() {
    const auto& failure = straight_.failure();
    if (failure.empty()) return std::nullopt;
    return unwritable(failure);
}

std::optional<int> JobFollower::exit_code_of(const Result<void, NotTaken>& taken) {
    if (taken) return std::nullopt;
    switch (taken.error().why) {
        case NotTaken::Why::interrupted:
            return interrupted();
        case NotTaken::Why::unwritable:
            return unwritable(taken.error().message);
        case NotTaken::Why::nonsense:
            break;
    }
    return nonsense(connection_, taken.error().message).code;
}

std::optional<int> JobFollower::take(const Message& message) {
    if (!message.output) return take(message.reply);
    fruitful_ = true;
    return exit_code_of(output_.take(*message.output));
}

std::optional<int> JobFollower::take(const protocol::Reply& reply) {
    if (!reply.error.empty()) return report(target_, reply).code;
    const auto job = string_field(reply.parameters, "job");
    // A new connection begins with what is known.
    const bool repeats =
        named_ && job && *job == job_ && reply.parameters.size() == 1 && reply.continues;
    if (job) job_ = *job;
    const bool first = job && !std::exchange(named_, true);
    // As JSON they are printed as they came.
    if (job && !target_.json) connection_.take_output_of(job_);
    if (!repeats) {
        fruitful_ = true;
        if (const auto code = print(reply)) return code;
    }
    if (const auto code = named(reply.parameters)) return code;
    // Of what goes straight it is not known when it is quiet.
    if (first && wish_.notice && !target_.json && !straight_.moves_any()) {
        notice_.begin(printable(action_), age_);
    }
    if (const auto code = exit_code_of(output_.take(reply.parameters))) return code;
    if (reply.continues) return std::nullopt;
    return finished(reply.parameters);
}

// With --json.
std::optional<int> JobFollower::print(const protocol::Reply& reply) {
    if (!target_.json || (!wish_.output && reply.continues)) return std::nullopt;
    nlohmann::json wanted;
    const auto* parameters = &reply.parameters;
    for (std::size_t which = 0; which < output_streams.size(); ++which) {
        if (output_.wants(which)) continue;
        if (wanted.is_null()) wanted = reply.parameters;
        const OutputStream& stream = output_streams.at(which);
        for (const char* key : {stream.text, stream.base64, stream.missed}) wanted.erase(key);
        parameters = &wanted;
    }
    // It had nothing but output that is not wanted.
    const bool empty = parameters->size() == 1 && reply.parameters.size() > 1;
    if (empty && reply.continues) return std::nullopt;
    const auto written = write_all(STDOUT_FILENO, safe_json(*parameters) + "\n", interrupt());
    if (!written) return unwritable(written.error().message);
    if (*written == Written::interrupted) return interrupted();
    return std::nullopt;
}

int JobFollower::finished(const nlohmann::json& parameters) {
    notice_.end();
    if (const auto code = finish_beside()) return *code;
    if (const auto code = say_end(parameters)) return *code;
    const bool written = output_.end();
    if (!wish_.job_code) return written ? exit_code::success : exit_code::broken;
    if (const auto code = lost_beside()) return *code;
    if (!output_.incomplete()) return job_code_;
    complain(action_ + ": not all of its output is there, so the exit code is " +
             std::to_string(exit_code::broken) + "; the job's own is " + std::to_string(job_code_));
    return exit_code::broken;
}

// How it ended, and what of its output is lost.
std::optional<int> JobFollower::say_end(const nlohmann::json& parameters) {
    const auto* result = field(parameters, "result");
    if (result == nullptr && wish_.stored) return std::nullopt;
    if (result == nullptr) return nonsense(connection_, "the last reply has no result").code;
    const auto end = decode_job_end(*result);
    if (!end) return nonsense(connection_, end.error().message).code;
    if (wish_.job_code) {
        job_code_ = exit_code_of_job(*end);
        std::optional<long> seconds;
        if (const auto* const action = description(); action && action->timeout.count() > 0) {
            seconds = std::chrono::floor<std::chrono::seconds>(action->timeout).count();
        }
        for (const auto& line : {describe_job_end(action_, job_, *end, seconds),
                                 describe_ended_processes(action_, *end)}) {
            if (!line.empty() && !target_.json) complain(line);
        }
    }
    for (std::size_t which = 0; which < output_streams.size(); ++which) {
        const auto& from = end->lost_from.at(which);
        if (!from || !wish_.output || !output_.wants(which)) continue;
        output_.say_missing("its " + std::string(output_streams.at(which).name) +
                            " is lost from byte " + std::to_string(*from) +
                            " on: the daemon could not keep it");
    }
    return std::nullopt;
}

}  // namespace postern::ctl
