#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/verbs/action_call.h"
#include "ctl/verbs/run_detached.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/connect.h"
#include "ctl/wire/direct_data.h"
#include "ctl/wire/exchange.h"
#include "ctl/wire/interrupt.h"
#include "ctl/wire/job_follower.h"
#include "host/random_id.h"
#include "protocol/base64.h"

namespace postern::ctl {
namespace {

constexpr Option option_detach{
    .name = "detach",
    .value = "",
    .help = "print the job's id once it is recorded, and exit; the job keeps running"};
constexpr std::array<std::string_view, 2> interrupt_words = {"detach", "cancel"};
constexpr Option option_on_interrupt{
    .name = "on-interrupt",
    .value = "WHAT",
    .help =
        "detach or cancel: what Ctrl-C, SIGTERM and SIGHUP do with the job; if\n"
        "not given, what the action declares",
    .completes = Completes::listed,
    .listed = interrupt_words};

// For the daemon to know the call again, should the connection break before it has named the job.
std::string new_key() {
    // Without a key the call can only be made once.
    auto key = random_id();
    return key ? std::move(*key) : std::string();
}

// What is done with the job where a signal ends posternctl.
enum class OnInterrupt : std::uint8_t { as_declared, detach, cancel };

// One run of an action.
class Running final : public JobFollower {
  public:
    Running(const Invocation& invocation, ActionCall call, Connection connection,
            const Interrupt& interrupt)
        : JobFollower(invocation.target, same_daemon(invocation), std::move(connection), &interrupt,
                      {.notice = true}),
          call_(std::move(call)),
          on_interrupt_(on_interrupt(invocation)) {
        set_action(call_.action);
    }

  private:
    static OnInterrupt on_interrupt(const Invocation& invocation) {
        const auto* const what = invocation.value_of(option_on_interrupt);
        if (what == nullptr) return OnInterrupt::as_declared;
        return *what == "cancel" ? OnInterrupt::cancel : OnInterrupt::detach;
    }

    Result<std::optional<int>, NoReply> prepare() override;
    Result<std::optional<Call>, Failed> first_call() override;
    [[nodiscard]] bool may_repeat() const override { return !key_.empty(); }
    std::string left_behind() override;
    std::string not_named() override;
    std::string given_up() override;
    [[nodiscard]] const ActionDescription* description() const override {
        return call_.description ? &*call_.description : nullptr;
    }
    std::optional<int> named(const nlohmann::json& parameters) override;
    std::optional<int> finish_beside() override;
    std::optional<int> lost_beside() override;

    std::string cancel();
    std::string cancel_unnamed();
    Result<bool, Failed> put_data(nlohmann::json& parameters);
    std::optional<int> take_pipe(const nlohmann::json& parameters, const char* key, PipeEnd end,
                                 std::vector<UniqueFd>& descriptors, UniqueFd& pipe);
    int show_direct(std::string_view bytes);

    ActionCall call_;
    OnInterrupt on_interrupt_;
    std::string key_ = new_key();
    // What goes straight: what was asked for, whether it has come, and whether it was lost.
    struct Straight {
        bool input = false;
        bool output = false;
        bool asked = false;
        bool lost = false;
    };
    Straight direct_;
};

Result<std::optional<int>, NoReply> Running::prepare() {
    if (!call_.looked_up && !call_.refusal) {
        POSTERN_TRY(look_up(call_, connection(), interrupt()));
        if (!call_.refusal) progressed();
    }
    if (call_.refusal) return std::optional(report(target(), *call_.refusal).code);
    if (on_interrupt_ == OnInterrupt::detach && description() != nullptr &&
        description()->kill_on_disconnect) {
        complain("--on-interrupt=detach: " + printable(call_.action) +
                 " can't be detached: its file says \"onDisconnect\": \"kill\", which ends its job "
                 "when nobody follows it; leave the option out, or give --on-interrupt=cancel");
        return std::optional(exit_code::invalid);
    }
    return std::optional<int>{};
}

Result<std::optional<JobFollower::Call>, Failed> Running::first_call() {
    POSTERN_TRY(auto parameters, parameters_of(call_));
    POSTERN_TRY(const bool there, put_data(parameters));
    if (!there) return std::optional<Call>{};
    if (!key_.empty()) parameters["key"] = key_;
    return std::optional(Call{"org.postern.Actions.Run", std::move(parameters)});
}

std::string Running::not_named() {
    const auto name = printable(call_.action);
    if (!sent()) return name + " was not started";
    if (on_interrupt_ == OnInterrupt::cancel) return cancel_unnamed();
    return "whether " + name + " was started is not known, no answer had come";
}

std::string Running::left_behind() {
    return on_interrupt_ == OnInterrupt::cancel ? cancel() : JobFollower::left_behind();
}

std::string Running::given_up() {
    return left_behind();
}

// Over a connection of its own: this one waits for the job's end. The answer comes with that end.
std::string Running::cancel() {
    const auto failed = [this](const std::string& why) {
        return job_text() + " could not be cancelled: " + why + "; " + attach_command() +
               " shows it";
    };
    complain("cancelling " + job_text());
    auto socket = connect_to(target().socket, connect_patience);
    if (!socket) return failed(socket.error().message);
    Connection other(std::move(*socket), target().socket);
    other.bear_silence();
    other.queue(protocol::encode_call("org.postern.Jobs.Cancel", {{"job", job()}}));
    other.send();
    Interrupt::let_end();
    const auto message = other.wait(answer_patience, -1);
    if (!message && message.error().why == NoReply::Why::late) {
        return job_text() + " is being cancelled; " + attach_command() + " shows its end";
    }
    if (!message) return failed(message.error().message);
    const auto& error = message->reply.error;
    if (error.empty()) return job_text() + " is cancelled";
    if (error == "org.postern.Jobs.JobEnded") {
        return job_text() + " has ended; " + attach_command() + " shows how";
    }
    return failed(error_text(message->reply, target()));
}

// The reply that names the job is still to come. Where the connection ends before, the call is not
// made again by its key: a daemon that does not know it would start the job.
std::string Running::cancel_unnamed() {
    const auto name = printable(call_.action);
    complain("cancelling " + name);
    connection().send();
    Interrupt::let_end();
    const auto message = connection().wait(answer_patience, -1);
    if (message && !message->reply.error.empty()) {
        return name + " was not started: " + error_text(message->reply, target());
    }
    const auto job =
        message ? string_field(message->reply.parameters, "job") : std::optional<std::string>{};
    if (!job) return "whether " + name + " was started is not known, no answer came";
    set_job(*job);
    return cancel();
}

// What the action gets for its standard input, and what of it goes straight. false: interrupted.
Result<bool, Failed> Running::put_data(nlohmann::json& parameters) {
    const ActionDescription* const action = description();
    POSTERN_TRY(const bool wanted, call_.input.wanted(action));
    direct_.input = wanted && action->input == Input::direct;
    direct_.output = action != nullptr && action->direct_output;
    if (direct_.input || direct_.output) {
        parameters["descriptors"] = true;
        connection().expect_descriptors();
    }
    if (!wanted || direct_.input) return true;
    return call_.input.put(parameters, interrupt());
}

// Out of the reply that names the job.
std::optional<int> Running::named(const nlohmann::json& parameters) {
    if (std::exchange(direct_.asked, true) || !(direct_.input || direct_.output)) return {};
    auto descriptors = connection().take_descriptors();
    UniqueFd output;
    UniqueFd input;
    if (const auto code =
            take_pipe(parameters, "outputFileDescriptor", PipeEnd::to_read, descriptors, output)) {
        return code;
    }
    if (const auto code =
            take_pipe(parameters, "inputFileDescriptor", PipeEnd::to_write, descriptors, input)) {
        return code;
    }
    direct_.lost =
        (direct_.input && !input) || (!output && flag_field(parameters, "stdoutNotKept"));
    if (output && target().json) {
        straight().take_output(std::move(output),
                               [this](std::string_view bytes) { return show_direct(bytes); });
    } else if (output) {
        straight().take_output(std::move(output));
    }
    if (input && direct_.input) {
        straight().give_input(std::move(input), call_.input.fd(), call_.input.name());
    }
    return std::nullopt;
}

std::optional<int> Running::take_pipe(const nlohmann::json& parameters, const char* key,
                                      PipeEnd end, std::vector<UniqueFd>& descriptors,
                                      UniqueFd& pipe) {
    const auto index = integer_field(parameters, key);
    if (!index) return std::nullopt;
    if (*index < 0 || static_cast<std::size_t>(*index) >= descriptors.size()) {
        return nonsense(connection(), std::string(key) + ": no such descriptor came with the reply")
            .code;
    }
    pipe = std::move(descriptors[static_cast<std::size_t>(*index)]);
    if (pipe && is_pipe_end(pipe.get(), end)) return std::nullopt;
    return nonsense(connection(), std::string(key) + " is not the right end of a pipe").code;
}

// With --json as replies would carry it. 0 or errno.
int Running::show_direct(std::string_view bytes) {
    nlohmann::json line = {{"job", job()}};
    if (valid_utf8(bytes)) {
        line["stdout"] = bytes;
    } else {
        line["stdoutBase64"] = protocol::encode_base64(bytes);
    }
    const auto written = write_all(STDOUT_FILENO, safe_json(line) + "\n", interrupt());
    return written ? 0 : EIO;
}

std::optional<int> Running::finish_beside() {
    if (straight().finish(interrupt())) return std::nullopt;
    const auto code = straight_failed();
    return code ? *code : interrupted();
}

std::optional<int> Running::lost_beside() {
    if (!direct_.lost) return std::nullopt;
    complain(call_.action + ": the direct input or output of job " + job() +
             " was lost with the connection that started it, and is not stored");
    return exit_code::broken;
}

int run_action(const Invocation& invocation) {
    if (invocation.target.datagram || invocation.given(option_detach)) {
        return run_detached(invocation);
    }
    auto call = action_call(invocation);
    if (!call) return call.error().code;
    auto connection = open_connection(invocation.target);
    if (!connection) return connection.error().code;
    // Until here Ctrl-C has its plain effect: there is no job to tell of.
    auto interrupt = Interrupt::watch();
    if (!interrupt) {
        complain(interrupt.error().message);
        return exit_code::broken;
    }
    // Somebody is to decide what becomes of the job then.
    if (invocation.given(option_on_interrupt)) Interrupt::note_closed_pipe();
    return Running(invocation, std::move(*call), std::move(*connection), *interrupt).run();
}

std::string object_to_run(const Invocation& invocation) {
    const bool detached = invocation.given(option_detach);
    if (detached && invocation.given(option_datagram)) {
        return "--detach and --datagram both exit while the job keeps running; give one of them";
    }
    if (const auto* const what = invocation.value_of(option_on_interrupt)) {
        if (*what != "detach" && *what != "cancel") {
            return "--on-interrupt: " + in_quotes(*what) +
                   " is not a valid WHAT; give detach or cancel";
        }
        if (detached || invocation.given(option_datagram)) {
            return "--on-interrupt has no meaning where nobody waits for the job";
        }
    }
    return object_to_input(invocation);
}

constexpr std::array run_options = {option_detach, option_on_interrupt, option_datagram,
                                    option_file,   option_input,        option_no_input};

}  // namespace

constinit const Verb verb_run{
    .name = "run",
    .synopsis = "ACTION [NAME=VALUE ...]",
    .summary = "run an action and pass on its output",
    .help =
        R"(The job's standard output and standard error are passed on as it writes them, byte for byte, and
posternctl exits with the job's exit code. If output is missing, or could not be written, a message
on standard error says so and the exit code is 125. A list is given by naming its argument several
times.

Ctrl-C, SIGTERM and SIGHUP (a broken ssh) end posternctl. Whether the job continues is up to the
action; a line says so, with the command that attaches to the job again. --on-interrupt=cancel ends
the job; --on-interrupt=detach is refused (122) if the action ends it. Both count, too, when the
output can't be written because its reader has gone.

Standard input is read if the action takes any (see describe), and otherwise left untouched.

With --json each reply is one line: first the job's id, then what it writes, last its result.

With --detach the job's id is printed, alone on a line, once the job is recorded, and the exit code
is 0, whether its program can be started or not: see wait, attach, logs and show. Refused (122) if
the action ends its job when its caller disconnects, or has direct input or output.

With --datagram it is the same, with one datagram each way instead of a connection. The action must
allow it ("datagram": true).

Examples:
  posternctl run hello name=Ada
  posternctl run web.restart service=nginx
  posternctl run files.archive file=a.txt file=b.txt
  posternctl --json run hello name=Ada
  posternctl run --detach backup.start
  posternctl run --datagram backup.start
  posternctl run cert.install --file cert=site.pem
  posternctl run site.restore --input site.tar.gz
)",
    .options = run_options,
    .least_words = 1,
    .most_words = any_number,
    .completes = Completes::calls,
    .objection = object_to_run,
    .run = run_action,
};

}  // namespace postern::ctl
