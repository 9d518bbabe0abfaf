#include <unistd.h>

#include <array>
#include <csignal>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "ctl/action_call.h"
#include "ctl/exchange.h"
#include "ctl/exit_codes.h"
#include "ctl/interrupt.h"
#include "ctl/job_end.h"
#include "ctl/json_fields.h"
#include "ctl/output.h"
#include "protocol/base64.h"

namespace postern::ctl {
namespace {

// The fields of a reply that carry one stream of the job.
struct Stream {
    const char* text;
    const char* base64;
    const char* missed;
    const char* name;
    int fd;
};
constexpr std::array streams = {
    Stream{"stdout", "stdoutBase64", "stdoutMissed", "standard output", STDOUT_FILENO},
    Stream{"stderr", "stderrBase64", "stderrMissed", "standard error", STDERR_FILENO},
};

// One run of an action, from the reply that names the job to the one that carries its result.
class Running {
  public:
    Running(const Invocation& invocation, ActionCall call, Connection connection,
            const Interrupt& interrupt)
        : json_(invocation.json),
          invocation_(invocation),
          call_(std::move(call)),
          connection_(std::move(connection)),
          interrupt_(interrupt) {}

    int run();

  private:
    Result<nlohmann::json, Failed> prepare();
    Failed interrupted() const;
    Failed without_reply(const NoReply& none) const;
    [[nodiscard]] std::string name() const { return printable(call_.action); }

    // The exit code, once there is one.
    std::optional<int> take(const protocol::Reply& reply);
    std::optional<int> pass_on(const nlohmann::json& parameters, const Stream& stream);
    std::optional<int> write(int fd, std::string_view bytes);
    int finished(const nlohmann::json& parameters);

    bool json_;
    const Invocation& invocation_;
    ActionCall call_;
    Connection connection_;
    const Interrupt& interrupt_;
    bool sent_ = false;
    std::string job_;  // empty: not known yet
};

int Running::run() {
    if (const auto found = look_up(call_, connection_, interrupt_.fd()); !found) {
        return without_reply(found.error()).code;
    }
    const auto parameters = parameters_of(call_);
    if (!parameters) return parameters.error().code;
    connection_.queue(
        protocol::encode_call("org.postern.Actions.Run", *parameters, {.more = true}));
    sent_ = true;
    for (;;) {
        const auto message = connection_.wait(std::chrono::milliseconds::zero(), interrupt_.fd());
        if (!message) return without_reply(message.error()).code;
        if (const auto code = take(message->reply)) return *code;
    }
}

Failed Running::interrupted() const {
    std::string what;
    if (!sent_) {
        what = name() + " was not started";
    } else if (job_.empty()) {
        what = "whether " + name() + " was started is not known, no answer had come";
    } else {
        what = "job " + printable(job_) + " (" + name() + ") ";
        if (!call_.description) {
            what += "goes on, or ends, as the action declares";
        } else {
            what += call_.description->kill_on_disconnect ? "is ended by the daemon" : "goes on";
        }
    }
    complain("interrupted: " + what);
    return {Interrupt::signal() == SIGTERM ? exit_code::terminated : exit_code::interrupted};
}

Failed Running::without_reply(const NoReply& none) const {
    if (none.why == NoReply::Why::interrupted) return interrupted();
    if (!sent_ || job_.empty()) return report(none);
    complain(none.message + "; what became of job " + job_ + " (" + call_.action +
             ") is not known");
    return {exit_code::broken};
}

std::optional<int> Running::take(const protocol::Reply& reply) {
    if (!reply.error.empty()) return report(invocation_, reply).code;
    if (const auto job = string_field(reply.parameters, "job")) job_ = *job;
    if (json_) {
        if (const auto code = write(STDOUT_FILENO, safe_json(reply.parameters) + "\n")) return code;
    } else {
        for (const auto& stream : streams) {
            if (const auto code = pass_on(reply.parameters, stream)) return code;
        }
    }
    if (reply.continues) return std::nullopt;
    return finished(reply.parameters);
}

std::optional<int> Running::pass_on(const nlohmann::json& parameters, const Stream& stream) {
    for (const auto& cut : array_field(parameters, "truncated")) {
        if (cut != stream.text) continue;
        complain(call_.action + ": the job itself cut back its " + stream.name +
                 ": what came before may be incomplete");
    }
    if (const auto missed = integer_field(parameters, stream.missed); missed && *missed > 0) {
        complain(call_.action + ": " + std::to_string(*missed) + " bytes of its " + stream.name +
                 " are missing here: the daemon no longer had them");
    }
    if (const auto text = string_field(parameters, stream.text)) {
        if (const auto code = write(stream.fd, *text)) return code;
    }
    if (const auto base64 = string_field(parameters, stream.base64)) {
        const auto bytes = protocol::decode_base64(*base64);
        if (!bytes) return nonsense(connection_, std::string(stream.base64) + " is no base64").code;
        if (const auto code = write(stream.fd, *bytes)) return code;
    }
    return std::nullopt;
}

std::optional<int> Running::write(int fd, std::string_view bytes) {
    const auto written = write_all(fd, bytes, interrupt_.fd());
    if (!written) {
        complain(written.error().message + "; for what becomes of job " + job_ + " (" +
                 call_.action + ") nobody waits any more");
        return exit_code::broken;
    }
    if (*written == Written::interrupted) return interrupted().code;
    return std::nullopt;
}

int Running::finished(const nlohmann::json& parameters) {
    const auto* result = field(parameters, "result");
    if (result == nullptr) return nonsense(connection_, "the last reply has no result").code;
    const auto end = decode_job_end(*result);
    if (!end) return nonsense(connection_, end.error().message).code;
    std::optional<long> seconds;
    if (call_.description && call_.description->timeout_usec > 0) {
        seconds = static_cast<long>(call_.description->timeout_usec / 1'000'000);
    }
    const auto line = describe_job_end(call_.action, job_, *end, seconds);
    if (!line.empty() && !json_) complain(line);
    return exit_code_of_job(*end);
}

}  // namespace

int run_action(const Invocation& invocation) {
    auto call = action_call(invocation);
    if (!call) return call.error().code;
    auto connection = open_connection(invocation);
    if (!connection) return connection.error().code;
    // Until here Ctrl-C has its plain effect: there is no job to tell of.
    auto interrupt = Interrupt::watch();
    if (!interrupt) {
        complain(interrupt.error().message);
        return exit_code::broken;
    }
    return Running(invocation, std::move(*call), std::move(*connection), *interrupt).run();
}

}  // namespace postern::ctl
