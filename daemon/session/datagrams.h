// The packets of the datagram socket that the guard hands over, unopened: one packet, one call, one
// reply.
//
// They are answered in the order in which they came. What the guard is asked for one of them it
// answers at once, so none waits for a job.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/channel/messages.h"
#include "daemon/session/connection.h"
#include "daemon/session/methods.h"
#include "protocol/call.h"

namespace postern::session {

class Datagrams {
  public:
    // `shared` outlives it.
    explicit Datagrams(Shared& shared) : shared_(shared) {}

    // False: more of them than any guard of ours hands over.
    bool receive(channel::Datagram packet);

    // The guard's answers to the call of a packet. False: it is not what that call waits for, so
    // the guard is broken.
    bool answer(const channel::Refused& refused);
    bool answer(const channel::CheckPassed& passed);
    bool answer(const channel::Described& described);
    bool answer(const channel::Detached& detached);
    // Whether this is the packet whose call waits for an answer.
    [[nodiscard]] bool awaits(std::uint64_t connection) const {
        return call_ && call_->id == connection;
    }

    // One turn of bounded work.
    void turn();
    // Whether another turn would do anything.
    [[nodiscard]] bool ready() const;

  private:
    // The packet that is being answered.
    struct UnderWay {
        std::uint64_t id = 0;
        std::uint32_t request = 0;
        Waiting waiting = Waiting::check;
        bool oneway = false;
        std::optional<char> terminator;
        std::string action;
    };

    void begin(const channel::Datagram& packet);
    void ask(UnderWay call, AskRun question);
    void ask(UnderWay call, AskCheck question);
    void ask(UnderWay call, AskDescribe question);
    // The table has no such method for packets.
    template <typename Question>
    void ask(const UnderWay& call, const Question& question);
    UnderWay& start(UnderWay call, Waiting waiting);
    // The call, which is over, if this is what it waits for.
    std::optional<UnderWay> take(std::uint64_t connection, std::uint32_t request,
                                 std::optional<Waiting> waiting);
    void finish(const UnderWay& call, const nlohmann::json& parameters);
    void finish(const UnderWay& call, std::string_view error, const nlohmann::json& parameters,
                channel::PacketFault fault = channel::PacketFault::none);
    void reply(const UnderWay& call, channel::PacketFault fault, std::string text);

    Shared& shared_;
    std::deque<channel::Datagram> queue_;
    std::optional<UnderWay> call_;
};

}  // namespace postern::session
