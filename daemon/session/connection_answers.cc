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

void Connection::reply(const UnderWay& call, json parameters, bool continues) {
    if (call.oneway) return;
    if (!call.job.empty()) parameters["job"] = call.job;
    socket_.queue(protocol::encode_reply(parameters, continues, call.terminator));
}

void Connection::finish(const UnderWay& call, json parameters) {
    reply(call, std::move(parameters), false);
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
    const UnderWay* call = under_way(passed.request, Waiting::check);
    if (call == nullptr) return false;
    finish(*call, json::object());
    return true;
}

bool Connection::answer(const channel::Described& described) {
    const UnderWay* call = under_way(described.request, Waiting::describe);
    if (call == nullptr) return false;
    finish(*call, {{"action", action_json(described.action)}});
    return true;
}

bool Connection::answer(const channel::JobStarted& started, UniqueFd stdout_file,
                        UniqueFd stderr_file) {
    UnderWay* call = under_way(started.request, Waiting::run);
    if (call == nullptr || !call->job.empty() || started.job.empty()) return false;
    call->job = started.job;
    if (call->oneway) return true;  // nobody reads its output
    if (call->more) {
        call->output.emplace<JobStream>(std::move(stdout_file), std::move(stderr_file),
                                        call->offsets);
        reply(*call, json::object(), true);
    } else {
        call->output.emplace<JobSummary>(std::move(stdout_file), std::move(stderr_file),
                                         call->offsets, shared_.caller.reply_output_bytes);
    }
    // Rather than look into files that are most likely still empty.
    await_output(*call, call->offsets);
    return true;
}

bool Connection::answer(const channel::JobFound& found) {
    const UnderWay* call = under_way(found.request, Waiting::look_up);
    if (call == nullptr) return false;
    finish(*call, {{"job", job_json(found.job)}});
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

void Connection::await_output(UnderWay& call, std::array<std::uint64_t, 2> read_to) {
    call.output_awaited = true;
    shared_.guard.send(channel::AwaitOutput{id_, call.request, read_to[0], read_to[1]});
}

// Whether there is more to send as soon as there is room.
bool Connection::send_output() {
    if (!call_ || (call_->output_awaited && !call_->result)) return false;
    if (auto* stream = std::get_if<JobStream>(&call_->output)) return send_stream(*call_, *stream);
    if (auto* summary = std::get_if<JobSummary>(&call_->output)) {
        return send_summary(*call_, *summary);
    }
    return false;
}

bool Connection::send_stream(UnderWay& call, JobStream& stream) {
    for (int i = 0; i < chunks_per_turn; ++i) {
        if (socket_.backlog() > limits::client_backlog_bytes / 2) return true;
        auto chunk = stream.next(call.result.has_value());
        if (!chunk) {
            if (call.result) {
                finish(call, {{"result", result_json(*call.result)}});
            } else {
                await_output(call, stream.read_to());
            }
            return false;
        }
        reply(call, std::move(*chunk), true);
    }
    return true;
}

bool Connection::send_summary(UnderWay& call, JobSummary& summary) {
    if (!call.result) {
        summary.read();
        // Otherwise the end is all that is waited for.
        if (!summary.full()) await_output(call, summary.read_to());
        return false;
    }
    json parameters = summary.finish();
    parameters["result"] = result_json(*call.result);
    finish(call, std::move(parameters));
    return false;
}

}  // namespace postern::session
