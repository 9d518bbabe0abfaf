// One call, made into an object when it comes in: who calls, by which way, and where its answers
// go. Behind it no code knows a session or a message of the channel.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/guard/audit/audit.h"
#include "daemon/jobs/follower.h"
#include "daemon/policy/verdict.h"
#include "model/call.h"

namespace postern {

// Which socket a call came through.
enum class Way : std::uint8_t { stream, datagram, administrator };

// Who calls and from where: the same for all calls of a connection.
struct Origin {
    std::shared_ptr<const policy::Caller> caller;
    pid_t pid = 0;
    std::optional<std::string> unit;  // the system's unit, where it is known
    std::string listener;             // the socket's name
    Way way = Way::stream;
};

class CallContext;
// Shared by what waits for something before it answers.
using CallPtr = std::shared_ptr<CallContext>;

// A call that its first answer does not end. Its connection keeps it.
class OngoingCall {
  public:
    OngoingCall() = default;
    virtual ~OngoingCall() = default;
    OngoingCall(const OngoingCall&) = delete;
    OngoingCall& operator=(const OngoingCall&) = delete;
    virtual void await_output(const AwaitOutput& read) = 0;
    // Hands the descriptors over, and tells the session whether that worked.
    virtual void hand_over(const CallPtr& call, const HandOver& asked);
    // False: no honest session says so.
    virtual bool output_taken(const OutputTaken& taken) = 0;
    // The connection is over; this is destroyed afterwards.
    virtual void left(jobs::Leaving leaving) = 0;
};

// Where the answers to a call go. To send never ends a session at once, and once the connection is
// over nothing that is sent goes anywhere.
class CallLink {
  public:
    CallLink() = default;
    virtual ~CallLink() = default;
    CallLink(const CallLink&) = delete;
    CallLink& operator=(const CallLink&) = delete;
    virtual void answer(CallAnswer answer, std::vector<UniqueFd> files) = 0;
    // A session that asks for this is hostile: it is ended.
    virtual void violated(const std::string& how) = 0;
    virtual void keep(std::unique_ptr<OngoingCall> call) = 0;
    virtual void forget() = 0;
    // What is kept under the number of this call; null: nothing.
    virtual OngoingCall* kept() = 0;
    // How many are kept by the connection of this call.
    [[nodiscard]] virtual std::size_t kept_by_connection() const = 0;
    // From now on this is the one call of its connection whose client gets descriptors. False:
    // another call was, or this connection can't carry any.
    virtual bool take_hand_over() = 0;
    // Sends the bytes to the client, alone, and the descriptors with their first one. Never blocks.
    // False: they were not sent.
    virtual bool hand_over(const std::string& bytes, const std::vector<UniqueFd>& descriptors) = 0;
};

class CallContext {
  public:
    // `audit` outlives it.
    CallContext(Origin origin, std::unique_ptr<CallLink> link, Audit& audit)
        : origin_(std::move(origin)), link_(std::move(link)), audit_(audit) {}
    ~CallContext() = default;
    CallContext(const CallContext&) = delete;
    CallContext& operator=(const CallContext&) = delete;

    [[nodiscard]] const policy::Caller& caller() const { return *origin_.caller; }
    [[nodiscard]] const Origin& origin() const { return origin_; }
    // A packet has no connection that could wait for the end of a job.
    [[nodiscard]] bool is_packet() const { return origin_.way == Way::datagram; }
    [[nodiscard]] CallLink& link() { return *link_; }

    void answer(CallAnswer answer, std::vector<UniqueFd> files = {}) {
        link_->answer(std::move(answer), std::move(files));
    }
    void refuse(Refusal refusal, std::string subject, std::string message) {
        answer(Refused{refusal, std::move(subject), std::move(message)});
    }

    // An event with all that is known of the caller; it points into this.
    [[nodiscard]] AuditEvent event(AuditEvent::Kind kind, const std::string& action) const;
    // As Audit::write().
    bool audit(const AuditEvent& event) { return audit_.write(event); }
    [[nodiscard]] const AccountNames& names() const { return audit_.names(); }

  private:
    Origin origin_;
    std::unique_ptr<CallLink> link_;
    Audit& audit_;
};

// Who serves calls.
class CallHandler {
  public:
    CallHandler() = default;
    virtual ~CallHandler() = default;
    CallHandler(const CallHandler&) = delete;
    CallHandler& operator=(const CallHandler&) = delete;
    virtual void handle(const CallPtr& call, const Call& asked) = 0;
};

}  // namespace postern
