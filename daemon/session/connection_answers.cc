// The part of Connection that hears from the guard: answers, and the output of jobs.
#include <utility>

#include "daemon/session/connection.h"
#include "daemon/session/json_values.h"

namespace postern::session {

using nlohmann::json;

namespace {

// Of one turn; a chunk is two reads.
constexpr int chunks_per_turn = 4;

}  // namespace

UnderWay* Connection::under_way(std::uint32_t request, Waiting waiting) {
    const bool it_is = call_ && call_->request == request && call_->waiting == waiting;
    return it_is ? &*call_ : nullptr;
}

void Connection::reply(json parameters, bool continues) {
    if (call_->oneway) return;
    if (!call_->job.empty()) parameters["job"] = call_->job;
    socket_.queue(protocol::encode_reply(parameters, continues, call_->terminator));
}

void Connection::finish(const json& parameters) {
    reply(parameters, false);
    call_.reset();
}

bool Connection::answer(const channel::Refused& refused) {
    // Once a job has started, only its end ends the call.
    if (!call_ || call_->request != refused.request || !call_->job.empty()) return false;
    if (!call_->oneway) {
        socket_.queue(protocol::encode_error(refusal_error(refused.refusal),
                                             refusal_json(refused, call_->action),
                                             call_->terminator));
    }
    call_.reset();
    return true;
}

bool Connection::answer(const channel::CheckPassed& passed) {
    if (under_way(passed.request, Waiting::check) == nullptr) return false;
    finish(json::object());
    return true;
}

bool Connection::answer(const channel::Described& described) {
    if (under_way(described.request, Waiting::describe) == nullptr) return false;
    finish({{"action", action_json(described.action)}});
    return true;
}

bool Connection::answer(const channel::JobStarted& started, UniqueFd stdout_file,
                        UniqueFd stderr_file) {
    UnderWay* call = under_way(started.request, Waiting::run);
    if (call == nullptr || !call->job.empty() || started.job.empty()) return false;
    call->job = started.job;
    if (call->oneway) return true;  // nobody reads its output
    if (call->more) {
        call->output.emplace<JobStream>(std::move(stdout_file), std::move(stderr_file));
        reply(json::object(), true);
    } else {
        call->output.emplace<JobSummary>(std::move(stdout_file), std::move(stderr_file),
                                         shared_.caller.reply_output_bytes);
    }
    // Rather than look into files that are most likely still empty.
    await_output({0, 0});
    return true;
}

bool Connection::answer(const channel::JobOutput& output) {
    UnderWay* call = under_way(output.request, Waiting::run);
    if (call == nullptr || !call->output_awaited) return false;
    call->output_awaited = false;
    return true;
}

bool Connection::answer(const channel::JobEnded& ended) {
    UnderWay* call = under_way(ended.request, Waiting::run);
    if (call == nullptr || call->job.empty() || call->result) return false;
    call->result = ended.result;
    if (call->oneway) call_.reset();
    return true;
}

void Connection::await_output(std::array<std::uint64_t, 2> read_to) {
    call_->output_awaited = true;
    shared_.guard.send(channel::AwaitOutput{id_, call_->request, read_to[0], read_to[1]});
}

// Whether there is more to send as soon as there is room.
bool Connection::send_output() {
    if (!call_ || (call_->output_awaited && !call_->result)) return false;
    if (auto* stream = std::get_if<JobStream>(&call_->output)) return send_stream(*stream);
    if (auto* summary = std::get_if<JobSummary>(&call_->output)) return send_summary(*summary);
    return false;
}

bool Connection::send_stream(JobStream& stream) {
    for (int i = 0; i < chunks_per_turn; ++i) {
        if (socket_.backlog() > limits::client_backlog_bytes / 2) return true;
        auto chunk = stream.next(call_->result.has_value());
        if (!chunk) {
            if (call_->result) {
                finish({{"result", result_json(*call_->result)}});
            } else {
                await_output(stream.read_to());
            }
            return false;
        }
        reply(std::move(*chunk), true);
    }
    return true;
}

bool Connection::send_summary(JobSummary& summary) {
    if (!call_->result) {
        summary.read();
        // Otherwise the end is all that is waited for.
        if (!summary.full()) await_output(summary.read_to());
        return false;
    }
    json parameters = summary.finish();
    parameters["result"] = result_json(*call_->result);
    finish(parameters);
    return false;
}

}  // namespace postern::session
