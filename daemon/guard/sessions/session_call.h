// A call of a session, for those who answer it without knowing that there are sessions.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "daemon/channel/messages.h"
#include "daemon/guard/calls/call_context.h"

namespace postern {

class SessionProcess;

class SessionCall final : public CallLink {
  public:
    SessionCall(std::weak_ptr<SessionProcess> session, channel::ConnectionId connection,
                channel::RequestId request)
        : session_(std::move(session)), connection_(connection), request_(request) {}

    void answer(CallAnswer answer, std::vector<UniqueFd> files) override;
    void violated(const std::string& how) override;
    void keep(std::unique_ptr<OngoingCall> call) override;
    void forget() override;
    OngoingCall* kept() override;
    [[nodiscard]] std::size_t kept_by_connection() const override;
    bool take_hand_over() override;
    bool hand_over(const std::string& bytes, const std::vector<UniqueFd>& descriptors) override;

  private:
    std::weak_ptr<SessionProcess> session_;
    channel::ConnectionId connection_;
    channel::RequestId request_;
};

}  // namespace postern
