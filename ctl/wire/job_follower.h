// A job that is followed: from the reply that names it to the one that carries its result, over as
// many connections as that takes. The daemon may go meanwhile and come back: the job does not go
// with it.
#pragma once

#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "ctl/wire/connection.h"
#include "ctl/wire/direct_data.h"
#include "ctl/wire/exchange.h"
#include "ctl/wire/interrupt.h"
#include "ctl/wire/job_output.h"
#include "ctl/wire/quiet_notice.h"
#include "ctl/wire/target.h"
#include "model/action.h"

namespace postern::ctl {

// What a verb wants of a job.
struct FollowWish {
    JobOutput::Where to = {STDOUT_FILENO, STDERR_FILENO};  // its streams
    bool output = true;                                    // else its result alone
    bool stored = false;                                   // what is stored by now, and not its end
    // The exit code is the job's, and how it ended is said; else it is 0 once all was printed.
    bool job_code = true;
    bool notice = false;  // says what runs where nothing comes (quiet_notice.h)
};

class JobFollower {
  public:
    virtual ~JobFollower() = default;
    JobFollower(const JobFollower&) = delete;
    JobFollower& operator=(const JobFollower&) = delete;

    // Returns the exit code. What it has to say it has said.
    int run();

  protected:
    // `target` and `interrupt` outlive it; null: signals have their plain effect. `command`: with
    // which posternctl asks the same daemon again.
    JobFollower(const Target& target, std::string command, Connection connection,
                const Interrupt* interrupt, const FollowWish& wish);

    struct Call {
        std::string method;
        nlohmann::json parameters;
    };
    // ---- What differs between those who follow ----

    // Asks what must be known before the first call, on each connection until it is. An exit code:
    // there is nothing to follow.
    virtual Result<std::optional<int>, NoReply> prepare() { return std::optional<int>{}; }
    // The call whose reply names the job, until one has. Nothing: a signal came. The error was
    // said.
    virtual Result<std::optional<Call>, Failed> first_call() = 0;
    // Whether that call may be made again if its answer was lost.
    [[nodiscard]] virtual bool may_repeat() const { return true; }
    // A signal came: what is said of the job, and what where none is known.
    virtual std::string left_behind();
    virtual std::string not_named() { return {}; }
    // What it writes goes nowhere any more, and it is no longer followed: what is said of it.
    virtual std::string given_up();
    // The action as far as it is known; null: it is not.
    [[nodiscard]] virtual const ActionDescription* description() const { return nullptr; }
    // The reply that names the job.
    virtual std::optional<int> named(const nlohmann::json& /*parameters*/) { return {}; }
    // After the last reply: what is still to come beside the connection.
    virtual std::optional<int> finish_beside() { return {}; }
    // After everything else was said: whether what ought to have come beside it was lost.
    virtual std::optional<int> lost_beside() { return {}; }

    // ---- What they need ----

    // This connection has brought something new.
    void progressed() { fruitful_ = true; }
    // At least one first call was made.
    [[nodiscard]] bool sent() const { return sent_; }
    int interrupted();
    // Its output can't be written: `why`, in one line.
    int unwritable(const std::string& why);
    std::optional<int> straight_failed();
    [[nodiscard]] int interrupt() const { return interrupt_ == nullptr ? -1 : interrupt_->fd(); }
    [[nodiscard]] const Target& target() const { return target_; }
    [[nodiscard]] Connection& connection() { return connection_; }
    // Data that goes straight between the job and this process.
    [[nodiscard]] DirectData& straight() { return straight_; }
    // "job 0123 (web.restart)"
    [[nodiscard]] std::string job_text() const;
    // "posternctl attach 0123"
    [[nodiscard]] std::string attach_command() const;
    [[nodiscard]] const std::string& job() const { return job_; }
    // Where it is known before a reply names it.
    void set_job(std::string job) { job_ = std::move(job); }
    void set_action(std::string action);
    // The job runs for so long already.
    void set_age(std::chrono::seconds age) { age_ = age; }

  private:
    // The exit code; or why this connection is over before there is one.
    Result<int, NoReply> converse();
    Result<std::optional<Call>, Failed> next_call();
    // Whether there is a new connection. None: it is given up, or a signal came.
    bool connect_again();
    // The same call over a new connection. What went wrong is the daemon's refusal.
    Result<int, NoReply> call_anew(const protocol::Reply& refusal);
    int without_reply(const NoReply& none) const;
    [[nodiscard]] bool never_began(const protocol::Reply& reply) const;

    // The exit code, once there is one.
    std::optional<int> take(const Message& message);
    std::optional<int> take(const protocol::Reply& reply);
    std::optional<int> print(const protocol::Reply& reply);
    std::optional<int> exit_code_of(const Result<void, NotTaken>& taken);
    int finished(const nlohmann::json& parameters);
    std::optional<int> say_end(const nlohmann::json& parameters);

    const Target& target_;
    std::string command_;
    Connection connection_;
    const Interrupt* interrupt_;
    FollowWish wish_;
    JobOutput output_;
    DirectData straight_;
    QuietNotice notice_{straight_};
    std::string action_;
    std::string job_;     // empty: not known yet
    bool named_ = false;  // by a reply
    std::chrono::seconds age_{0};
    bool sent_ = false;
    bool fruitful_ = false;                   // this connection was: it brought something new
    bool was_broken_ = false;                 // at least one connection was
    bool called_anew_ = false;                // by call_anew()
    std::optional<protocol::Reply> refusal_;  // the last one of never_began()
    int job_code_ = 0;
};

}  // namespace postern::ctl
