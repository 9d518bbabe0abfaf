// The datagram sockets: packets in, each to the session of its sender, and the replies out again.
//
// A packet that is received is answered or, with a line in the audit, dropped. Where sessions have
// too many to answer, nothing more is received: packets then wait in the kernel's queue, and when
// that is full, their senders do. A session that is the reason for it and does not get on is ended,
// and packets of its user are refused for some seconds: it can hold up others for no longer.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/guard/audit/audit.h"
#include "daemon/guard/datagram/datagram_inbox.h"
#include "daemon/guard/datagram/datagram_replier.h"
#include "daemon/guard/listen/listener.h"
#include "daemon/guard/sessions/session_events.h"
#include "daemon/guard/sessions/session_pool.h"
#include "daemon/loop/event_source.h"

namespace postern {

class Datagrams {
  public:
    // `only_uid` as of Acceptor. Errors: as of DatagramReplier::create().
    static Result<std::unique_ptr<Datagrams>> create(sd_event* event,
                                                     std::vector<Listener> listeners,
                                                     SessionPool& pool, Audit& audit,
                                                     std::optional<uid_t> only_uid);
    ~Datagrams() = default;
    Datagrams(const Datagrams&) = delete;
    Datagrams& operator=(const Datagrams&) = delete;

    // Begins to receive. Error: the loop takes no more sources.
    Status start();
    // Receives no more, and calls `done` when what was received is answered (at once, if it is), or
    // after a short time. The sockets stay open: who sends now waits for the next guard.
    void stop(std::function<void()> done);

    [[nodiscard]] const std::vector<Listener>& listeners() const { return listeners_; }

    // As PacketHooks has them.
    void packet_answered(const Origin& origin, PacketOrigin packet, channel::Reply reply);
    void packets_dropped(const SessionProcess& session);

  private:
    // A packet that no session has room for yet.
    struct Held {
        channel::Datagram packet;
        PacketOrigin origin;
        std::string listener;
        Peer peer;
    };

    // Senders whose packets are refused for a while.
    struct Refused {
        MonotonicTime until;
        std::chrono::microseconds span{0};
        const char* reason = "";
    };

    Datagrams(sd_event* event, std::vector<Listener> listeners, SessionPool& pool, Audit& audit,
              std::optional<uid_t> only_uid);
    void on_packets();
    void receive_failed(int error);
    void on_timer();
    void take(std::size_t number, DatagramPacket packet);
    // False: there is no room for it yet.
    bool hand_over(Held& held);
    void go_on();
    void go_on_soon();
    void look_for_the_late();
    void set_enabled(bool enabled);
    // Null: they are not.
    const char* refused_for_now(uid_t payer);
    void refuse_for_now(uid_t payer, std::chrono::microseconds span, const char* reason);
    void sent_descriptors(uid_t payer);
    void refuse(const std::string& listener, const Peer* peer, const std::string& reason);
    int arm(std::chrono::microseconds delay);
    [[nodiscard]] bool is_idle() const;
    void finish_stopping();

    sd_event* event_;
    std::vector<Listener> listeners_;
    SessionPool& pool_;
    Audit& audit_;
    std::optional<uid_t> only_uid_;
    std::unique_ptr<DatagramReplier> replier_;
    std::unique_ptr<DatagramInbox> inbox_;  // null: there are no listeners
    EventSource packets_;
    // While there is one nothing more is taken from the inbox.
    std::optional<Held> held_;
    std::map<uid_t, Refused> refused_;
    EventSource again_;
    Timer timer_;
    MonotonicTime timer_due_;
    int failing_ = 0;  // errno of the last attempt to receive, if it failed
    std::function<void()> when_stopped_;
    MonotonicTime stop_until_;
    bool stopped_ = false;
};

}  // namespace postern
