// Between accepting a connection and handing it to its session: whether its uid has an account,
// where that is not known yet.
//
// A directory service may have accounts that it does not list (SSSD lists none unless it is told
// to), so that policy::People does not have them. Such a uid is looked up in a thread, and its
// connections wait for the answer: whose a caller is must not depend on whether it was here before.
// Uids that lie in somebody's range are not looked up, so that their owner can't keep the thread
// busy. Where there is no answer within a while, or too many wait, it counts as having none: deny
// rules hold rather.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/guard/audit/account_names.h"
#include "daemon/guard/listen/acceptor.h"
#include "daemon/guard/listen/identity.h"
#include "daemon/guard/listen/listener.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/worker.h"
#include "daemon/policy/snapshot.h"

namespace postern {

class KnownCallers final : public ConnectionTaker {
  public:
    // Connections that wait: in all, and of one payer.
    static constexpr std::size_t most_waiting = 256;
    static constexpr std::size_t most_waiting_of_uid = 32;
    static constexpr std::chrono::seconds patience{5};
    // For how long an answer counts: that there is an account, and that there is none.
    static constexpr std::chrono::minutes positive_time{10};
    static constexpr std::chrono::seconds negative_time{10};

    // `next` and `names`, which learns what those accounts are called, outlive it. Errors: no
    // descriptor or thread to be had.
    static Result<std::unique_ptr<KnownCallers>> create(sd_event* event, ConnectionTaker& next,
                                                        AccountNames& names);
    // Does not wait for a look-up that goes on.
    ~KnownCallers() override = default;
    KnownCallers(const KnownCallers&) = delete;
    KnownCallers& operator=(const KnownCallers&) = delete;

    // The listener outlives the connection's waiting.
    void charge(policy::Caller& caller) const override { next_.charge(caller); }
    [[nodiscard]] PeerQuestions questions(const policy::Caller& caller) const override {
        return next_.questions(caller);
    }
    void admit(UniqueFd connection, Peer peer, const Listener& listener) override;
    void refuse(UniqueFd connection, const Peer* peer, const std::string& listener,
                const WhyRefused& why) override;

    void set_snapshot(const policy::SnapshotPtr& snapshot) { snapshot_ = snapshot; }
    // Those that wait are refused.
    void stop();

    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

  private:
    using Clock = std::chrono::steady_clock;
    using Accounts = Worker<uid_t, std::pair<uid_t, std::optional<std::string>>>;
    struct Answer {
        bool has_account = false;
        Clock::time_point until;
    };
    struct Waiting {
        UniqueFd connection;
        Peer peer;
        const Listener* listener = nullptr;
    };
    KnownCallers(sd_event* event, ConnectionTaker& next, AccountNames& names);
    // Those of the caller's uids that have to be asked about.
    [[nodiscard]] std::vector<uid_t> unlisted(const policy::Caller& caller) const;
    [[nodiscard]] bool is_answered(const policy::Caller& caller) const;
    [[nodiscard]] bool is_full(uid_t payer) const;
    void ask(uid_t uid);
    void pass_on(UniqueFd connection, Peer peer, const Listener& listener);
    void on_answers(const std::vector<std::pair<uid_t, std::optional<std::string>>>& answered);
    void on_timeout();

    std::unique_ptr<Accounts> accounts_;
    ConnectionTaker& next_;
    AccountNames& names_;
    policy::SnapshotPtr snapshot_;
    std::map<uid_t, Answer> answers_;
    std::list<Waiting> waiting_;
    Timer timer_;
    bool timer_armed_ = false;
    bool stopped_ = false;
};

}  // namespace postern
