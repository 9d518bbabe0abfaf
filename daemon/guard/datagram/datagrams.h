// The datagram sockets: packets in, each in its owner's turn to the session of its sender, and the
// replies out again.
//
// A packet that is received is answered or, with a line in the audit, dropped. Where a session has
// too many to answer, the next ones of its user wait here, a bounded number of them; a session that
// is the reason for it and does not get on is ended, and packets of its user are refused for some
// seconds. Beyond that number nothing more is received for a moment: a user who merely sends faster
// than is answered waits then, in the kernel's queue, and loses nothing. Who has still no room
// afterwards has packets refused until half of those that wait are answered: nobody holds up others
// for longer.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/guard/audit/audit.h"
#include "daemon/guard/datagram/datagram_inbox.h"
#include "daemon/guard/datagram/datagram_replier.h"
#include "daemon/guard/datagram/put_aside.h"
#include "daemon/guard/listen/listener.h"
#include "daemon/guard/sessions/session_events.h"
#include "daemon/guard/sessions/session_pool.h"
#include "daemon/guard/sessions/session_process.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/owner_queue.h"
#include "daemon/loop/ready_set.h"
#include "daemon/loop/turns.h"
#include "daemon/policy/snapshot.h"

namespace postern {

class Datagrams {
  public:
    // `only_uid` as of Acceptor. Errors: as of DatagramReplier::create().
    static Result<std::unique_ptr<Datagrams>> create(ReadySet& ready, Turns& turns,
                                                     std::vector<Listener> listeners,
                                                     SessionPool& pool, Audit& audit,
                                                     Dropper::Source dropper,
                                                     std::optional<uid_t> only_uid);
    ~Datagrams() = default;
    Datagrams(const Datagrams&) = delete;
    Datagrams& operator=(const Datagrams&) = delete;

    // Begins to receive. Error: the loop takes no more sources.
    Status start();
    // One more to receive from, beside those that there are. Precondition: there are some.
    Status add(Listener listener);
    // Receives no more, and calls `done` when what was received is answered (at once, if it is), or
    // after a short time. The sockets stay open: who sends now waits for the next guard.
    void stop(std::function<void()> done);

    [[nodiscard]] const std::deque<Listener>& listeners() const { return listeners_; }

    // Packets that were received and that no session has yet.
    [[nodiscard]] std::size_t waiting() const {
        return waiting_.size() + (held_ ? 1 : 0) + received_.size();
    }

    void set_snapshot(const policy::Snapshot& snapshot);

    // As PoolHooks has them.
    void packet_answered(const SessionProcess& session, ConnectionInfo info, channel::Reply reply);
    void packets_dropped(const SessionProcess& session);

  private:
    // A packet that waits for its turn, or for room in its session.
    struct Waiting {
        channel::Datagram packet;
        PacketOrigin origin;
        std::string listener;
        Peer peer;
    };

    Datagrams(ReadySet& ready, Turns& turns, std::vector<Listener> listeners, SessionPool& pool,
              Audit& audit, std::optional<uid_t> only_uid);
    void on_packets();
    void take_received();
    void receive_failed(int error);
    void take(std::size_t number, DatagramPacket packet);
    [[nodiscard]] bool has_many_waiting(uid_t payer) const;
    void add(Waiting one);
    Dealt hand_over(Waiting& one);
    void try_held_again();
    void take_on();
    void give_up_held();
    void look_for_the_late();
    void set_enabled(bool enabled);
    void send_replies();
    void resume(uid_t payer);
    void refuse(const Waiting& one, const std::string& reason);
    void refuse(const std::string& listener, const Peer* peer, const std::string& reason);
    [[nodiscard]] bool is_idle() const;
    void finish_stopping();

    ReadySet& ready_;
    std::deque<Listener> listeners_;
    SessionPool& pool_;
    Audit& audit_;
    std::optional<uid_t> only_uid_;
    pid_t own_pid_;
    std::vector<gid_t> own_groups_;  // where it serves one uid
    std::unique_ptr<DatagramReplier> replier_;
    // What was answered in a run of turns is sent together.
    Turns::Late replies_;
    std::unique_ptr<DatagramInbox> inbox_;  // null: there are no listeners
    ReadySet::Source packets_;
    OwnerQueue<Waiting> waiting_;
    bool all_are_full_ = false;  // some wait because all sessions together have too many
    // Out of the inbox, and not looked at yet.
    std::deque<DatagramInbox::Item> received_;
    // While there is one nothing more is taken from there.
    std::optional<Waiting> held_;
    EventSource again_;
    Timer patience_with_held_;
    std::set<uid_t> slow_;  // their packets are refused until half of those that wait are answered
    Timer patience_with_sessions_;
    std::optional<MonotonicTime> late_at_;  // when it goes off
    PutAside put_aside_;
    int failing_ = 0;  // errno of the last attempt to receive, if it failed
    std::function<void()> when_stopped_;
    Timer stopping_;
    MonotonicTime stop_until_;
    bool stopped_ = false;
};

}  // namespace postern
