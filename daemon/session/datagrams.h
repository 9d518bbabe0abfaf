// The packets of the datagram socket that the guard hands over, unopened: one packet, one call, one
// reply.
//
// They are answered in the order in which they came. What the guard is asked for one of them it
// answers at once, so none waits for a job.
#pragma once

#include <array>
#include <deque>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/channel/messages.h"
#include "daemon/session/pending_call.h"
#include "daemon/session/shared.h"

namespace postern::session {

class Datagrams final : public Replies {
  public:
    // `shared` outlives it.
    explicit Datagrams(Shared& shared) : shared_(shared) {}

    // False: more of them than any guard of ours hands over.
    bool receive(channel::Datagram packet);

    // The call of this packet, if the guard has still to answer it; nullptr: it is not this one.
    PendingCall* pending(channel::ConnectionId id);

    // One turn of bounded work.
    void turn();
    // Whether another turn would do anything.
    [[nodiscard]] bool ready() const;

  private:
    void begin(const channel::Datagram& packet);
    void reply(const nlohmann::json& parameters, bool continues) override;
    void output(std::string_view /*job*/,
                const std::array<protocol::OutputPart, 2>& /*parts*/) override {}
    void error(std::string_view error, const nlohmann::json& parameters) override;
    // Nobody asks: a packet's call hands nothing over.
    [[nodiscard]] std::string text_of(const nlohmann::json& parameters,
                                      bool continues) const override;
    [[nodiscard]] bool all_sent() const override { return true; }
    [[nodiscard]] std::size_t room() const override { return 0; }
    // No packet follows a job.
    [[nodiscard]] std::uint64_t queued() const override { return 0; }
    [[nodiscard]] std::uint64_t sent() const override { return 0; }
    void reject(std::string_view error, const nlohmann::json& parameters,
                channel::PacketFault fault);
    void send(channel::PacketFault fault, std::string text);

    Shared& shared_;
    std::deque<channel::Datagram> queue_;
    // The packet that is being answered, or was the last one.
    channel::ConnectionId id_{};
    std::optional<char> terminator_;
    bool oneway_ = false;
    std::optional<PendingCall> call_;
};

}  // namespace postern::session
