// A call that the guard has been asked, until its last answer: of a connection or of a packet.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/session/answer.h"
#include "daemon/session/guard_link.h"
#include "daemon/session/shared.h"
#include "model/call.h"

namespace postern::session {

// Where the replies to a call go.
class Replies {
  public:
    Replies(const Replies&) = delete;
    Replies& operator=(const Replies&) = delete;

    virtual void reply(const nlohmann::json& parameters, bool continues) = 0;
    virtual void error(std::string_view error, const nlohmann::json& parameters) = 0;
    // A reply as it goes over the wire.
    [[nodiscard]] virtual std::string text_of(const nlohmann::json& parameters,
                                              bool continues) const = 0;
    // The client's side has taken all that was sent.
    [[nodiscard]] virtual bool all_sent() const = 0;
    // So much waits for the client that no further output is to be read for it.
    [[nodiscard]] virtual bool full() const = 0;

  protected:
    Replies() = default;
    ~Replies() = default;
};

class PendingCall {
  public:
    // Asks the guard. `shared` and `replies` outlive the call. `connection`: whose call it is.
    PendingCall(Shared& shared, channel::ConnectionId connection, Asked asked, Replies& replies);

    // An answer of the guard, with the files that came along. False: not what this call waits for,
    // so the guard is broken.
    bool take(channel::RequestId request, const CallAnswer& answer, std::vector<UniqueFd>& files);

    // A bounded amount of a job's output becomes replies. Whether there is more to do as soon as
    // there is room.
    bool proceed();

    // The last reply has been made.
    [[nodiscard]] bool ended() const { return ended_; }

  private:
    GuardLink& guard_;
    Replies& to_;
    channel::ConnectionId connection_;
    channel::RequestId request_;
    std::string action_;
    std::variant<OneReply, JobReplies> replies_;
    bool ended_ = false;
};

}  // namespace postern::session
