// The daemon, as the verbs ask it whose calls have one reply: over a connection, or by packets.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "ctl/wire/datagram.h"
#include "ctl/wire/exchange.h"
#include "ctl/wire/interrupt.h"
#include "ctl/wire/target.h"

namespace postern::ctl {

class Peer {
  public:
    // Over the socket that the command line means. The error was said. `target` is to outlive
    // the peer.
    static Result<Peer, Failed> open(const Target& target);

    // One call and its reply, which may be an error.
    Result<Message, NoAnswer> call(std::string_view method, const nlohmann::json& parameters);
    // The last call, for those who want nothing but success: the reply's parameters. What went
    // wrong was said. Closes.
    Result<nlohmann::json, Failed> ask(std::string_view method, const nlohmann::json& parameters);

    // By packets, Ctrl-C, SIGTERM and SIGHUP are waited for from open() on, so that nothing is left
    // behind. From here on they have their plain effect again, and nothing can be asked: to be
    // called before anything is written, which can block. Returns the signal that came, or 0: one
    // that came when the answer was there already has ended no call.
    int close();

  private:
    explicit Peer(const Target& target) : target_(&target) {}

    const Target* target_;
    std::optional<Connection> connection_;  // nothing: by packets
    std::optional<Interrupt> interrupt_;
};

// open() and ask().
Result<nlohmann::json, Failed> ask_once(const Target& target, std::string_view method,
                                        const nlohmann::json& parameters);

// Says why there is no answer, and what that means, e.g. "web.restart was not started".
Failed report(const NoAnswer& none, std::string_view meaning = {});

}  // namespace postern::ctl
