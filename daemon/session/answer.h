// What a method answers: the reply or the error at once, or what the guard is asked first.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>
#include <variant>

#include "daemon/session/job_replies.h"
#include "model/call.h"

namespace postern::session {

struct Answered {
    nlohmann::json parameters;
};
struct Rejected {
    std::string_view error;
    nlohmann::json parameters;
};

// What an answer of the guard is to the call that it is asked: not what that call waits for, not
// the last one, or the end.
struct NotAwaited {};
struct Unfinished {};
using Taken = std::variant<NotAwaited, Unfinished, Answered, Rejected>;

// The reply is made of what the guard answers; a refusal ends any call and never comes here.
struct OneReply {
    Taken (*take)(nlohmann::json& reply, const CallAnswer& answer);
    // What it has so far.
    nlohmann::json reply = nlohmann::json::object();
};

// A call to the guard, and what becomes of its answers.
struct Asked {
    Call call;
    std::variant<OneReply, JobReplies> replies;
};

using Answer = std::variant<Answered, Rejected, Asked>;

}  // namespace postern::session
