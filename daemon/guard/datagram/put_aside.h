// Senders whose packets are refused for a while, by who pays for them: what they sent before cost
// others too much.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>

#include "daemon/guard/sessions/session_events.h"

namespace postern {

class PutAside {
  public:
    // Null: it is not put aside.
    [[nodiscard]] const char* reason(uid_t payer, MonotonicTime now) const;

    // Its session had packets, and ended because of what it did.
    void for_its_session(uid_t payer, MonotonicTime now);
    // A packet of it carried descriptors (datagram_inbox.h says what they cost): twice as long each
    // time that it does so again soon.
    void for_descriptors(uid_t payer, MonotonicTime now);

  private:
    struct Aside {
        MonotonicTime until;
        std::chrono::microseconds span{0};
        const char* reason = "";
    };
    void forget_old(MonotonicTime now);

    std::map<uid_t, Aside> aside_;
};

}  // namespace postern
