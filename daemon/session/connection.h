// One client's connection: bytes in, one call at a time, replies out.
//
// Calls are answered in the order in which they came. What the client does not read is kept up to a
// bound (limits::client_backlog_bytes) and then no further call is begun, no further output of a
// job is read. It never blocks, and one turn does a bounded amount of work, however much there is
// to do.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/channel/messages.h"
#include "daemon/session/caller.h"
#include "daemon/session/client_socket.h"
#include "daemon/session/guard_link.h"
#include "daemon/session/job_output.h"
#include "daemon/session/methods.h"
#include "protocol/call.h"
#include "protocol/framing.h"

namespace postern::session {

using Clock = std::chrono::steady_clock;

// What all connections of a session have in common.
struct Shared {
    GuardLink& guard;
    std::span<const Method> methods;
    Caller caller;
    Granted granted;
    // Where input is received, for one connection at a time.
    std::vector<char> input = std::vector<char>(limits::message_bytes);
    std::uint32_t next_request = 1;
    // Bytes that the longest reply to this caller may have.
    std::size_t longest_reply = limits::client_backlog_bytes / 2;
    // Tells the time; asked only where it matters. Replaced by tests.
    std::function<Clock::time_point()> now = Clock::now;
};

enum class Waiting : std::uint8_t { run, look_up, check, describe, manage };

// The call of a connection that the guard has still to answer.
struct UnderWay {
    std::uint32_t request = 0;
    Waiting waiting = Waiting::check;
    bool more = false;
    bool oneway = false;
    char terminator = '\0';
    std::string action;
    // Of Run and Follow: where to begin to read, and the job once it has started.
    std::array<std::uint64_t, 2> offsets{};
    std::string job;
    std::variant<std::monostate, JobStream, JobSummary> output;
    bool output_awaited = false;
    std::optional<JobResult> result;
    // Of the administrator's calls: what the guard has reported so far.
    nlohmann::json report;
};

class Connection {
  public:
    // `shared` outlives the connection.
    Connection(UniqueFd socket, const channel::Connection& about, Shared& shared);

    // What to do after a turn.
    enum class Next : std::uint8_t {
        wait,   // for an event
        again,  // there is more to do at once
        gone,   // the client is gone or was sent away: close it
    };

    // One turn of bounded work. `events`: from epoll_wait(2), or 0.
    Next turn(std::uint32_t events);

    // Events to wait for, besides EPOLLHUP and EPOLLERR.
    [[nodiscard]] std::uint32_t wanted_events() const;

    // The guard's answers. False: it is not the answer to what is under way, so the guard is
    // broken. The caller then gives the connection a turn.
    bool answer(const channel::Refused& refused);
    bool answer(const channel::CheckPassed& passed);
    bool answer(const channel::Described& described);
    bool answer(const channel::JobStarted& started, UniqueFd stdout_file, UniqueFd stderr_file);
    bool answer(const channel::JobOutput& output);
    bool answer(const channel::JobEnded& ended);
    bool answer(const channel::JobFound& found);
    bool answer(const channel::StatusReport& status);
    bool answer(const channel::SocketReport& socket);
    bool answer(const channel::CallerReport& caller);
    bool answer(const channel::BadFileReport& bad);
    bool answer(const channel::JobReport& job);
    bool answer(const channel::Managed& managed);

    // The client's time is up then: it is silent in the middle of a message, or does not go.
    [[nodiscard]] std::optional<Clock::time_point> deadline() const;
    // Call it at or after the deadline, then give the connection a turn.
    void expire();

    // Ends the connection for the client, even while the guard still holds a copy of the
    // descriptor.
    void close() { socket_.shut_down(); }

    [[nodiscard]] int fd() const { return socket_.fd(); }
    [[nodiscard]] std::uint64_t id() const { return id_; }
    // Bytes that wait for the client to read.
    [[nodiscard]] std::size_t backlog() const { return socket_.backlog(); }

    // epoll's side of it, for the session.
    std::uint32_t registered_events = 0;
    bool in_ready_list = false;
    bool in_deadline_list = false;

  private:
    enum class State : std::uint8_t {
        open,
        sent_away,  // after an error that ends the connection: replies go out, input is thrown away
        gone,
    };

    void set_state(State state);
    void receive();
    void input_taken();
    void client_hung_up();
    [[nodiscard]] bool may_receive() const;
    [[nodiscard]] bool may_begin() const;
    bool begin_calls();
    void begin(const protocol::Frame& frame);
    void ask(const protocol::Call& call, char terminator, AskRun question);
    void ask(const protocol::Call& call, char terminator, AskFollow question);
    void ask(const protocol::Call& call, char terminator, AskLookUp question);
    void ask(const protocol::Call& call, char terminator, AskCheck question);
    void ask(const protocol::Call& call, char terminator, AskDescribe question);
    void ask(const protocol::Call& call, char terminator, AskManage question);
    bool report(std::uint32_t request, const char* list, nlohmann::json item);
    UnderWay& start(const protocol::Call& call, char terminator, Waiting waiting,
                    std::string action);
    void send_away(std::string_view message);
    bool send_output();
    bool send_stream(UnderWay& call, JobStream& stream);
    bool send_summary(UnderWay& call, JobSummary& summary);
    void await_output(UnderWay& call, std::array<std::uint64_t, 2> read_to);
    void reply(const UnderWay& call, nlohmann::json parameters, bool continues);
    // The last reply; the call is over.
    void finish(const UnderWay& call, nlohmann::json parameters);
    UnderWay* under_way(std::uint32_t request, Waiting waiting);

    std::uint64_t id_;
    ClientSocket socket_;
    std::int32_t pid_;
    std::string unit_;
    bool administrator_;
    Shared& shared_;

    State state_ = State::open;
    protocol::Framer framer_;
    // Received and not yet framed.
    std::string input_;
    std::size_t input_used_ = 0;
    // Input was there while none could be taken: not asked for until it can.
    bool input_paused_ = false;
    // The client has shut down its sending side: what it has sent is answered, then it is over.
    bool input_over_ = false;
    // We have shut down ours.
    bool output_over_ = false;
    Clock::time_point last_input_;
    // Of the last message: replies that belong to no message end the same way.
    char last_terminator_ = '\0';
    std::optional<UnderWay> call_;
};

}  // namespace postern::session
