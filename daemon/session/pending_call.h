// A call that the guard has been asked, until its last answer: of a connection or of a packet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/session/answer.h"
#include "daemon/session/guard_link.h"
#include "daemon/session/progress.h"
#include "daemon/session/shared.h"
#include "model/call.h"
#include "protocol/output_reply.h"

namespace postern::session {

// Where the replies to a call go.
class Replies {
  public:
    Replies(const Replies&) = delete;
    Replies& operator=(const Replies&) = delete;

    virtual void reply(const nlohmann::json& parameters, bool continues) = 0;
    // One that continues, with what a job wrote.
    virtual void output(std::string_view job, const std::array<protocol::OutputPart, 2>& parts) = 0;
    virtual void error(std::string_view error, const nlohmann::json& parameters) = 0;
    // A reply as it goes over the wire.
    [[nodiscard]] virtual std::string text_of(const nlohmann::json& parameters,
                                              bool continues) const = 0;
    // The client's side has taken all that was sent.
    [[nodiscard]] virtual bool all_sent() const = 0;
    // Bytes of each stream that the next reply with output may have. 0: so much waits for the
    // client that no further output is to be read for it.
    [[nodiscard]] virtual std::size_t room() const = 0;
    // Bytes for the client that were ever queued, and those of them that it was sent.
    [[nodiscard]] virtual std::uint64_t queued() const = 0;
    [[nodiscard]] virtual std::uint64_t sent() const = 0;

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
    // Tells the guard what the client has by now. To be called when something was sent.
    void tell_progress(Clock::time_point now);

    // A job that runs is followed: how long its client may stand still is the guard's affair.
    [[nodiscard]] bool follows() const;

    // The last reply has been made.
    [[nodiscard]] bool ended() const { return ended_; }

  private:
    bool proceed(JobReplies& job);

    GuardLink& guard_;
    Replies& to_;
    channel::ConnectionId connection_;
    channel::RequestId request_;
    std::string action_;
    std::variant<OneReply, JobReplies> replies_;
    Progress progress_;
    bool caught_up_ = false;  // nothing more comes until the guard says more
    bool ended_ = false;
};

}  // namespace postern::session
