#include "daemon/session/pending_call.h"

#include <utility>

#include "daemon/session/json_values.h"

namespace postern::session {
namespace {

// Of one turn; a chunk is two reads.
constexpr int chunks_per_turn = 4;

// The action that a call names, if it names one.
std::string action_of(const Call& call) {
    return std::visit(
        [](const auto& asked) {
            if constexpr (requires { asked.action; }) {
                return asked.action;
            } else {
                return std::string();
            }
        },
        call);
}

}  // namespace

PendingCall::PendingCall(Shared& shared, channel::ConnectionId connection, Asked asked,
                         Replies& replies)
    : guard_(shared.guard),
      to_(replies),
      connection_(connection),
      request_(shared.new_request()),
      action_(action_of(asked.call)),
      replies_(std::move(asked.replies)) {
    std::visit([this](auto& call) { guard_.send({connection_, request_, std::move(call)}); },
               asked.call);
}

bool PendingCall::take(channel::RequestId request, const CallAnswer& answer,
                       std::vector<UniqueFd>& files) {
    if (request != request_) return false;
    auto* const job = std::get_if<JobReplies>(&replies_);
    if (const auto* refused = std::get_if<Refused>(&answer)) {
        if (job != nullptr && !job->refusable()) return false;
        to_.error(refusal_error(refused->refusal), refusal_json(*refused, action_));
        ended_ = true;
        return true;
    }
    if (job != nullptr) return job->take(answer, files);
    auto& one = std::get<OneReply>(replies_);
    const Taken taken = one.take(one.reply, answer);
    if (const auto* answered = std::get_if<Answered>(&taken)) {
        to_.reply(answered->parameters, false);
    }
    if (const auto* rejected = std::get_if<Rejected>(&taken)) {
        to_.error(rejected->error, rejected->parameters);
    }
    ended_ = !std::holds_alternative<Unfinished>(taken);
    return !std::holds_alternative<NotAwaited>(taken);
}

bool PendingCall::proceed() {
    auto* const job = std::get_if<JobReplies>(&replies_);
    if (job == nullptr) return false;
    const bool more = proceed(*job);
    caught_up_ = !more;
    // What is not wanted any more is so without a reply.
    progress_.queued(to_.queued(), job->given());
    return more;
}

void PendingCall::tell_progress(Clock::time_point now) {
    const auto* const job = std::get_if<JobReplies>(&replies_);
    if (job == nullptr || job->over()) return;
    if (const auto taken = progress_.sent(to_.sent(), caught_up_, now)) {
        guard_.send({connection_, request_, *taken});
    }
}

bool PendingCall::follows() const {
    const auto* const job = std::get_if<JobReplies>(&replies_);
    return job != nullptr && job->started() && !job->over();
}

bool PendingCall::proceed(JobReplies& job) {
    for (int i = 0; i < chunks_per_turn; ++i) {
        if (job.waits()) return false;
        const std::size_t room = to_.room();
        if (room == 0 || (job.announces_alone() && !to_.all_sent())) return true;
        const JobReplies::Next next = job.next(room);
        if (const auto* await = std::get_if<AwaitOutput>(&next)) {
            guard_.send({connection_, request_, *await});
            return false;
        }
        if (std::holds_alternative<std::monostate>(next)) return false;
        if (std::holds_alternative<JobReplies::Looking>(next)) continue;
        if (const auto* chunk = std::get_if<JobStream::Chunk>(&next)) {
            const auto& [out, err] = *chunk;
            to_.output(job.job().text(), {{{out.missed, out.bytes}, {err.missed, err.bytes}}});
        } else {
            const auto& reply = std::get<JobReplies::Reply>(next);
            if (reply.hands_over) {
                guard_.send({connection_, request_, HandOver{to_.text_of(reply.parameters, true)}});
                return false;
            }
            to_.reply(reply.parameters, reply.continues);
            ended_ = !reply.continues;
        }
        progress_.queued(to_.queued(), job.given());
        if (ended_) return false;
    }
    return true;
}

}  // namespace postern::session
