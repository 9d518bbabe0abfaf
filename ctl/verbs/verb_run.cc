#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/utf8.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/job_end.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/verbs/action_call.h"
#include "ctl/verbs/run_detached.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/connect.h"
#include "ctl/wire/direct_data.h"
#include "ctl/wire/exchange.h"
#include "ctl/wire/interrupt.h"
#include "host/random_id.h"
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

// After a daemon that went has not come back for so long, it is given up.
constexpr std::chrono::seconds return_patience{3};
constexpr std::chrono::milliseconds between_tries{100};
// Connections in a row that end soon and bring nothing new: the second may have met a daemon that
// was just leaving, too.
constexpr int most_fruitless = 3;
constexpr std::chrono::seconds soon{1};

// For the daemon to know the call again, should the connection break before it has named the job.
std::string new_key() {
    // Without a key the call can only be made once.
    auto key = random_id();
    return key ? std::move(*key) : std::string();
}

// One run of an action, from the reply that names the job to the one that carries its result. The
// daemon may go meanwhile and come back: the job does not go with it.
class Running {
  public:
    Running(const Target& target, ActionCall call, Connection connection,
            const Interrupt& interrupt)
        : json_(target.json),
          target_(target),
          call_(std::move(call)),
          connection_(std::move(connection)),
          interrupt_(interrupt) {}

    int run();

  private:
    // The exit code; or why this connection is over before there is one.
    Result<int, NoReply> converse();
    // Whether there is a new connection. None: it is given up, or a signal came.
    bool connect_again();
    Failed interrupted() const;
    Failed without_reply(const NoReply& none) const;
    [[nodiscard]] std::string name() const { return printable(call_.action); }

    // The exit code, once there is one.
    std::optional<int> take(const Message& message);
    std::optional<int> take(const protocol::Reply& reply);
    [[nodiscard]] bool never_began(const protocol::Reply& reply) const;
    std::optional<int> pass_on(const nlohmann::json& parameters, std::size_t which);
    // The bytes of a stream in a reply; none where it has none. The error is one line.
    static Result<std::string> bytes_of(const nlohmann::json& parameters, const Stream& stream);
    void say_missing(const std::string& what);
    std::optional<int> write(int fd, std::string_view bytes);
    Result<bool, Failed> put_data(nlohmann::json& parameters);
    std::optional<int> take_pipes(const nlohmann::json& parameters);
    std::optional<int> take_pipe(const nlohmann::json& parameters, const char* key, PipeEnd end,
                                 std::vector<UniqueFd>& descriptors, UniqueFd& pipe);
    std::optional<int> straight_failed();
    int show_direct(std::string_view bytes);
    int finished(const nlohmann::json& parameters);

    bool json_;
    const Target& target_;
    ActionCall call_;
    Connection connection_;
    const Interrupt& interrupt_;
    std::string key_ = new_key();
    bool was_broken_ = false;                 // at least one connection was
    std::optional<protocol::Reply> refusal_;  // the last one of never_began()
    bool sent_ = false;
    bool fruitful_ = false;  // this connection was: it brought something new
    std::string job_;        // empty: not known yet
    // What goes straight: what was asked for, what has come, and whether it was lost.
    struct Straight {
        bool input = false;
        bool output = false;
        bool asked = false;
        bool lost = false;
        DirectData data;
    };
    Straight straight_;
    // Bytes of each stream that have come, those that were missing counted.
    std::array<std::uint64_t, streams.size()> offsets_{};
    bool incomplete_ = false;  // something of them was missing, and that was said
};

int Running::run() {
    std::optional<NoReply> broken;  // by what, since something new came
    for (int fruitless = 0;;) {
        const auto begun = std::chrono::steady_clock::now();
        const auto code = converse();
        if (code) return *code;
        const bool short_lived = std::chrono::steady_clock::now() - begun < soon;
        fruitless = fruitful_ || !short_lived ? 0 : fruitless + 1;
        was_broken_ = true;
        const bool ended = code.error().why == NoReply::Why::ended;
        if (!ended || fruitless == 0 || !broken) broken = code.error();
        if (!ended || fruitless >= most_fruitless || !connect_again()) {
            if (Interrupt::signal() != 0) return interrupted().code;
            return refusal_ ? report(target_, *refusal_).code : without_reply(*broken).code;
        }
    }
}

Result<int, NoReply> Running::converse() {
    fruitful_ = false;
    if (!call_.looked_up) {
        POSTERN_TRY(look_up(call_, connection_, interrupt_.fd()));
        if (call_.refusal) return report(target_, *call_.refusal).code;
        fruitful_ = true;
    }
    if (call_.refusal) return report(target_, *call_.refusal).code;
    auto parameters = parameters_of(call_);
    if (!parameters) return parameters.error().code;
    if (job_.empty()) {
        const auto there = put_data(*parameters);
        if (!there) return there.error().code;
        if (!*there) return Unexpected(NoReply{NoReply::Why::interrupted, {}});
    }
    if (!job_.empty()) {
        *parameters = {{"job", job_}, {"stdoutOffset", offsets_[0]}, {"stderrOffset", offsets_[1]}};
    } else if (!key_.empty()) {
        (*parameters)["key"] = key_;
    }
    connection_.queue(
        protocol::encode_call(job_.empty() ? "org.postern.Actions.Run" : "org.postern.Jobs.Follow",
                              *parameters, {.more = true}));
    sent_ = true;
    for (;;) {
        auto come =
            connection_.wait(std::chrono::milliseconds::zero(), interrupt_.fd(), &straight_.data);
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
        refusal_.reset();
        if (const auto code = take(message)) return *code;
    }
}

// A daemon that was replaced before it had started the job: the next one starts it.
bool Running::never_began(const protocol::Reply& reply) const {
    return was_broken_ && job_.empty() && reply.error == "org.postern.Actions.Unavailable";
}

bool Running::connect_again() {
    // Without a key the daemon would not know the call again, and might run it twice.
    if (sent_ && job_.empty() && key_.empty()) return false;
    if (isatty(STDERR_FILENO) == 1) complain("the daemon broke off; connecting again");
    const auto end = std::chrono::steady_clock::now() + return_patience;
    for (;;) {
        auto socket = connect_to(target_.socket, std::chrono::seconds{1});
        if (socket) {
            connection_ = Connection(std::move(*socket), target_.socket);
            return true;
        }
        if (std::chrono::steady_clock::now() >= end) return false;
        pollfd interrupt{.fd = interrupt_.fd(), .events = POLLIN, .revents = 0};
        poll(&interrupt, 1, static_cast<int>(between_tries.count()));
        if (Interrupt::signal() != 0) return false;
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
            what += "continues, or ends, as the action declares";
        } else {
            what += call_.description->kill_on_disconnect ? "is ended by the daemon" : "continues";
        }
    }
    complain("interrupted: " + what);
    return {Interrupt::signal() == SIGTERM ? exit_code::terminated : exit_code::interrupted};
}

Failed Running::without_reply(const NoReply& none) const {
    if (!sent_ || job_.empty()) return report(none);
    complain(none.message + "; what became of job " + job_ + " (" + call_.action +
             ") is not known");
    return {exit_code::broken};
}

std::optional<int> Running::take(const Message& message) {
    if (!message.output) return take(message.reply);
    fruitful_ = true;
    for (std::size_t which = 0; which < streams.size(); ++which) {
        const std::string& bytes = message.output->at(which);
        offsets_.at(which) += bytes.size();
        if (const auto code = write(streams.at(which).fd, bytes)) return code;
    }
    return std::nullopt;
}

std::optional<int> Running::take(const protocol::Reply& reply) {
    if (!reply.error.empty()) return report(target_, reply).code;
    const auto job = string_field(reply.parameters, "job");
    // A new connection begins with what is known.
    const bool repeats = job && *job == job_ && reply.parameters.size() == 1;
    if (job) job_ = *job;
    // As JSON they are printed as they came.
    if (job && !json_) connection_.take_output_of(job_);
    if (!repeats) fruitful_ = true;
    if (json_ && !repeats) {
        if (const auto code = write(STDOUT_FILENO, safe_json(reply.parameters) + "\n")) return code;
    }
    if (const auto code = take_pipes(reply.parameters)) return code;
    for (std::size_t which = 0; which < streams.size(); ++which) {
        if (const auto code = pass_on(reply.parameters, which)) return code;
    }
    if (reply.continues) return std::nullopt;
    return finished(reply.parameters);
}

std::optional<int> Running::pass_on(const nlohmann::json& parameters, std::size_t which) {
    const Stream& stream = streams.at(which);
    std::uint64_t& offset = offsets_.at(which);
    if (const auto* missed = field(parameters, stream.missed)) {
        const auto count = integer_field(parameters, stream.missed).value_or(-1);
        if (count < 0) {
            return nonsense(connection_, std::string(stream.missed) + " is " + missed->dump()).code;
        }
        if (count > 0) {
            const std::uint64_t end = offset + static_cast<std::uint64_t>(count);
            say_missing(std::to_string(count) + " bytes of its " + stream.name +
                        " are missing here, bytes " + std::to_string(offset) + " to " +
                        std::to_string(end - 1) + ": the daemon no longer had them");
            offset = end;
        }
    }
    const auto bytes = bytes_of(parameters, stream);
    if (!bytes) return nonsense(connection_, bytes.error().message).code;
    offset += bytes->size();
    return json_ ? std::nullopt : write(stream.fd, *bytes);
}

Result<std::string> Running::bytes_of(const nlohmann::json& parameters, const Stream& stream) {
    const auto* const text = field(parameters, stream.text);
    const auto* const base64 = field(parameters, stream.base64);
    if (text != nullptr && base64 != nullptr) {
        return fail(std::string(stream.text) + " comes twice");
    }
    if (text != nullptr) {
        if (!text->is_string()) return fail(std::string(stream.text) + " is not text");
        return text->get<std::string>();
    }
    if (base64 == nullptr) return std::string();
    auto bytes = protocol::decode_base64(string_field(parameters, stream.base64).value_or("?"));
    if (!bytes) return fail(std::string(stream.base64) + " is not valid base64");
    return std::move(*bytes);
}

// At once, where it is missing, and under --json too: a log of both streams shows the place.
void Running::say_missing(const std::string& what) {
    incomplete_ = true;
    complain(call_.action + ": " + what);
}

std::optional<int> Running::write(int fd, std::string_view bytes) {
    const auto written = write_all(fd, bytes, interrupt_.fd());
    if (!written) {
        complain(written.error().message + "; posternctl no longer waits for job " + job_ + " (" +
                 call_.action + ")");
        return exit_code::broken;
    }
    if (*written == Written::interrupted) return interrupted().code;
    return std::nullopt;
}

// What the action gets for its standard input, and what of it goes straight. false: interrupted.
Result<bool, Failed> Running::put_data(nlohmann::json& parameters) {
    const ActionDescription* const action = call_.description ? &*call_.description : nullptr;
    POSTERN_TRY(const bool wanted, call_.input.wanted(action));
    straight_.input = wanted && action->input == Input::direct;
    straight_.output = action != nullptr && action->direct_output;
    if (straight_.input || straight_.output) {
        parameters["descriptors"] = true;
        connection_.expect_descriptors();
    }
    if (!wanted || straight_.input) return true;
    return call_.input.put(parameters, interrupt_.fd());
}

// Out of the reply that names the job.
std::optional<int> Running::take_pipes(const nlohmann::json& parameters) {
    if (std::exchange(straight_.asked, true) || !(straight_.input || straight_.output)) return {};
    auto descriptors = connection_.take_descriptors();
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
    straight_.lost =
        (straight_.input && !input) || (!output && flag_field(parameters, "stdoutNotKept"));
    if (output && json_) {
        straight_.data.take_output(std::move(output),
                                   [this](std::string_view bytes) { return show_direct(bytes); });
    } else if (output) {
        straight_.data.take_output(std::move(output));
    }
    if (input && straight_.input) {
        straight_.data.give_input(std::move(input), call_.input.fd(), call_.input.name());
    }
    return std::nullopt;
}

std::optional<int> Running::take_pipe(const nlohmann::json& parameters, const char* key,
                                      PipeEnd end, std::vector<UniqueFd>& descriptors,
                                      UniqueFd& pipe) {
    const auto index = integer_field(parameters, key);
    if (!index) return std::nullopt;
    if (*index < 0 || static_cast<std::size_t>(*index) >= descriptors.size()) {
        return nonsense(connection_, std::string(key) + ": no such descriptor came with the reply")
            .code;
    }
    pipe = std::move(descriptors[static_cast<std::size_t>(*index)]);
    if (pipe && is_pipe_end(pipe.get(), end)) return std::nullopt;
    return nonsense(connection_, std::string(key) + " is not the right end of a pipe").code;
}

std::optional<int> Running::straight_failed() {
    const auto& failure = straight_.data.failure();
    if (failure.empty()) return std::nullopt;
    complain(failure + "; posternctl no longer waits for job " + job_ + " (" + call_.action + ")");
    return exit_code::broken;
}

// With --json as replies would carry it. 0 or errno.
int Running::show_direct(std::string_view bytes) {
    nlohmann::json line = {{"job", job_}};
    if (valid_utf8(bytes)) {
        line["stdout"] = bytes;
    } else {
        line["stdoutBase64"] = protocol::encode_base64(bytes);
    }
    const auto written = write_all(STDOUT_FILENO, safe_json(line) + "\n", interrupt_.fd());
    return written ? 0 : EIO;
}

int Running::finished(const nlohmann::json& parameters) {
    if (!straight_.data.finish(interrupt_.fd())) {
        const auto code = straight_failed();
        return code ? *code : interrupted().code;
    }
    const auto* result = field(parameters, "result");
    if (result == nullptr) return nonsense(connection_, "the last reply has no result").code;
    const auto end = decode_job_end(*result);
    if (!end) return nonsense(connection_, end.error().message).code;
    std::optional<long> seconds;
    if (call_.description && call_.description->timeout.count() > 0) {
        seconds = std::chrono::floor<std::chrono::seconds>(call_.description->timeout).count();
    }
    for (const auto& line : {describe_job_end(call_.action, job_, *end, seconds),
                             describe_ended_processes(call_.action, *end)}) {
        if (!line.empty() && !json_) complain(line);
    }
    for (std::size_t which = 0; which < streams.size(); ++which) {
        const auto& from = end->lost_from.at(which);
        if (!from) continue;
        say_missing("its " + std::string(streams.at(which).name) + " is lost from byte " +
                    std::to_string(*from) + " on: the daemon could not keep it");
    }
    for (const Stream& stream : streams) {
        if (const auto kept = written_out(stream.fd); !kept) say_missing(kept.error().message);
    }
    if (straight_.lost) {
        complain(call_.action + ": the direct input or output of job " + job_ +
                 " was lost with the connection that started it, and is not stored");
        return exit_code::broken;
    }
    const int code = exit_code_of_job(*end);
    if (!incomplete_) return code;
    complain(call_.action + ": not all of its output is there, so the exit code is " +
             std::to_string(exit_code::broken) + "; the job's own is " + std::to_string(code));
    return exit_code::broken;
}

int run_action(const Invocation& invocation) {
    if (invocation.target.datagram) return run_detached(invocation);
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
    return Running(invocation.target, std::move(*call), std::move(*connection), *interrupt).run();
}

constexpr std::array run_options = {option_datagram, option_file, option_input, option_no_input};

}  // namespace

constinit const Verb verb_run{
    .name = "run",
    .synopsis = "ACTION [NAME=VALUE ...]",
    .summary = "run an action and pass on its output",
    .help =
        R"(The job's standard output and standard error come as it writes them, byte for byte, and
posternctl exits with the job's exit code. If output is missing, or could not be written, standard
error says so and the exit code is 125. Ctrl-C ends posternctl; whether the job continues is up to
the action, and a line says so. A list is given by naming its argument several times.

Standard input is read if the action takes any (see describe), and otherwise left untouched.

With --json each reply is one line: first the job's id, then what it writes, last its result.

With --datagram the job is started and continues by itself: its id is printed, and the exit code is 0.
The action must allow it ("datagram": true).

Examples:
  posternctl run hello name=Ada
  posternctl run web.restart service=nginx
  posternctl run files.archive file=a.txt file=b.txt
  posternctl --json run hello name=Ada
  posternctl run --datagram backup.start
  posternctl run cert.install --file cert=site.pem
  posternctl run site.restore --input site.tar.gz
)",
    .options = run_options,
    .least_words = 1,
    .most_words = any_number,
    .objection = object_to_input,
    .run = run_action,
};

}  // namespace postern::ctl
