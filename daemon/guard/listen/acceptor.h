// Takes connections from the listeners: accept, and, in the turn of whoever pays for it, who is it
// and on to its session.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/guard/listen/identity.h"
#include "daemon/guard/listen/listener.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/owner_queue.h"
#include "daemon/loop/ready_set.h"
#include "daemon/loop/turns.h"

namespace postern {

// Why a connection is not served.
struct WhyRefused {
    std::string reason;  // for the audit
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::string_view limit = {};  // that its client is told of; empty: it is told nothing
};

// Where connections go.
class ConnectionTaker {
  public:
    ConnectionTaker() = default;
    virtual ~ConnectionTaker() = default;
    ConnectionTaker(const ConnectionTaker&) = delete;
    ConnectionTaker& operator=(const ConnectionTaker&) = delete;
    // Says who pays for what the caller uses (policy::Caller::payer()).
    virtual void charge(policy::Caller& caller) const = 0;
    // What makes a difference of the process of somebody with these ids.
    [[nodiscard]] virtual PeerQuestions questions(const policy::Caller& caller) const = 0;
    virtual void admit(UniqueFd connection, Peer peer, const Listener& listener) = 0;
    // `peer`: what the kernel said, if it did.
    virtual void refuse(UniqueFd connection, const Peer* peer, const std::string& listener,
                        const WhyRefused& why) = 0;
};

class Acceptor {
  public:
    // An accepted connection that waits for its turn, in which it is asked who the peer is: who has
    // many groups or a long map would else keep all others from being accepted.
    struct Waiting {
        UniqueFd connection;
        ucred credentials;
        const Listener* listener = nullptr;
        bool bytes_only = false;  // as of Peer
    };

    // `bounds`: of those that wait; beyond, one is refused. `only_uid`: whom a guard of an ordinary
    // user serves; everybody else is refused, root included.
    Acceptor(ReadySet& ready, Turns& turns, std::vector<Listener> listeners, ConnectionTaker& taker,
             OwnerQueue<Waiting>::Bounds bounds, std::optional<uid_t> only_uid);
    // What still waits for its turn is refused.
    ~Acceptor();
    Acceptor(const Acceptor&) = delete;
    Acceptor& operator=(const Acceptor&) = delete;

    // Begins to accept. Error: the loop takes no more sources.
    Status start();
    // One more to accept from, beside those that there are.
    Status add(Listener listener);
    // Accepts no more; the listeners stay open, so that nobody is turned away. What was accepted
    // goes on to its session.
    void stop();
    // How many that is.
    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

    [[nodiscard]] const std::deque<Listener>& listeners() const { return listeners_; }

  private:
    // A listener that is watched.
    struct Watched {
        const Listener& listener;
        ReadySet::Source source;
        bool refuses = false;     // descriptors, and so do connections that are made from now on
        bool bytes_only = false;  // none is left of those that were made before
    };

    Status watch(const Listener& listener);
    void on_connection(Watched& watched);
    void take(const Watched& watched, UniqueFd connection);
    [[nodiscard]] uid_t payer_of(const ucred& credentials) const;
    void pass_on(Waiting& one);
    void refuse(Waiting& one, const WhyRefused& why);
    void pause(int error);
    void set_enabled(bool enabled);

    ReadySet& ready_;
    std::deque<Listener> listeners_;  // of which others keep the addresses
    ConnectionTaker& taker_;
    std::optional<uid_t> only_uid_;
    OwnerQueue<Waiting>::Bounds bounds_;
    int highest_pinning_;  // descriptor
    OwnerQueue<Waiting> waiting_;
    std::deque<Watched> watched_;  // likewise
    Timer resume_;
    bool started_ = false;
    bool stopped_ = false;
    int failing_ = 0;  // errno of the last accept, if it failed
};

}  // namespace postern
