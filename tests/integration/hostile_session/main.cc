// A postern-session that its own caller has taken over: it takes the session's place on a real
// channel and does what one would do who wants to get out of it.
//
// The test puts it beside a copy of posternd, under the name postern-session, and a file "mode"
// with it: `UID MODE REAL`. Sessions for other uids become the program REAL, and so does the one
// that a guard starts before it is ready, when there is no uid yet; only the modes "tried-..." and
// "trial-..." are played by that very one.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/version.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"

namespace {

using namespace postern;
using channel::ConnectionId;
using channel::RequestId;

constexpr int guard = channel::session_fd;
// Before a mode: the session that was tried plays it.
constexpr std::string_view tried = "tried-";

void wait_for(short events) {
    pollfd ready{guard, events, 0};
    ::poll(&ready, 1, -1);
}

void put(const channel::Bytes& packet, const std::vector<int>& descriptors = {}) {
    for (;;) {
        const auto sent = channel::send_packet(guard, packet, descriptors);
        if (sent == channel::Sent::sent) return;
        if (sent == channel::Sent::ended) std::exit(0);
        wait_for(POLLOUT);
    }
}

void say(ConnectionId connection, RequestId request, channel::ToGuard body) {
    put(channel::encode({connection, request, std::move(body)}));
}
// About no single connection.
void say(channel::ToGuard body) {
    say({}, {}, std::move(body));
}

channel::Closed closed(ConnectionId id) {
    return {{{id, channel::CloseCause::over}}};
}

channel::Replies reply_to(ConnectionId id, std::string bytes = "reply") {
    return {{{id, channel::PacketFault::none, std::move(bytes)}}};
}

ConnectionId beside(ConnectionId id, std::int64_t by) {
    return ConnectionId{static_cast<std::uint64_t>(id) + static_cast<std::uint64_t>(by)};
}

// The next message; ends with the channel. Descriptors stay open.
channel::Envelope<channel::ToSession> next() {
    static channel::Receiver receiver(channel::Descriptors::taken);
    static std::vector<UniqueFd> kept;
    for (;;) {
        auto received = receiver.receive(guard);
        for (auto& descriptor : received.descriptors) kept.push_back(std::move(descriptor));
        if (received.state == channel::Received::State::ended) std::exit(0);
        if (received.state == channel::Received::State::packet) {
            auto message = channel::decode_to_session(received.packet);
            if (!message) std::exit(3);
            return std::move(*message);
        }
        wait_for(POLLIN);
    }
}

template <typename T>
channel::Envelope<T> next_of() {
    for (;;) {
        auto message = next();
        if (auto* wanted = std::get_if<T>(&message.body)) {
            return {message.connection, message.request, std::move(*wanted)};
        }
    }
}

// Until the guard has enough of us.
[[noreturn]] void drain() {
    for (;;) (void)next();
}
[[noreturn]] void stand_still() {
    for (;;) ::pause();
}

std::optional<std::uint32_t> peek_uid() {
    wait_for(POLLIN);
    std::array<std::uint8_t, 4096> buffer{};
    const ssize_t length = ::recv(guard, buffer.data(), buffer.size(), MSG_PEEK);
    if (length <= 0) return std::nullopt;
    auto message =
        channel::decode_to_session(std::span(buffer).first(static_cast<std::size_t>(length)));
    if (!message) return std::nullopt;
    const auto* welcome = std::get_if<channel::Welcome>(&message->body);
    return welcome == nullptr ? std::nullopt : std::optional(welcome->uid);
}

std::string own_folder() {
    std::array<char, PATH_MAX> buffer{};
    const ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
    const std::string path(buffer.data(), static_cast<std::size_t>(length > 0 ? length : 0));
    return path.substr(0, path.rfind('/'));
}

// What the test wrote into the file "job" beside the program.
std::string foreign_job() {
    std::string job;
    std::ifstream(own_folder() + "/job") >> job;
    return job;
}

// What can be done with a packet of the datagram socket.
void act_on_packet(const std::string& mode) {
    const auto id = next_of<channel::Datagrams>().body.all.front().id;
    if (mode == "packet-silent") {
        drain();  // takes all there are, and answers none
    } else if (mode == "packet-twice") {
        say(reply_to(id));
        say(reply_to(id));
    } else if (mode == "packet-twice-at-once") {
        const channel::Reply reply = reply_to(id).all.front();
        say(channel::Replies{{reply, reply}});
    } else if (mode == "packet-foreign-id") {
        say(reply_to(beside(id, -1), "stolen"));
    } else if (mode == "packet-future-id") {
        say(reply_to(beside(id, 1), "early"));
    } else if (mode == "packet-not-given") {
        // The last of thirty, which wait for us to read: when the test says that they are there.
        while (::access((own_folder() + "/go").c_str(), F_OK) != 0) ::usleep(1000);
        say(reply_to(beside(id, 29), "guessed"));
    } else if (mode == "packet-two-calls") {
        say(id, RequestId{1}, CheckCall{"hello", {}});
        say(id, RequestId{2}, RunCall{"hello", {{"name", std::string("x")}}, ""});
    } else if (mode == "packet-call-after-reply") {
        say(reply_to(id));
        say(id, RequestId{1}, RunCall{"hello", {{"name", std::string("x")}}, ""});
    } else if (mode == "packet-accepted") {
        say(channel::Accepted{{id}});
    } else if (mode == "packet-closed") {
        say(closed(id));
    } else if (mode == "packet-administration") {
        say(id, RequestId{1}, ManageCall{Management::reload, ""});
    } else if (mode == "packet-long-reply") {
        say(reply_to(id, std::string(65537, 'x')));
    } else if (mode == "packet-any-bytes") {
        say(reply_to(id, std::string("\x1b[31m\n\0{", 8)));
    } else if (mode == "packet-dies") {
        std::exit(0);
    }
    drain();
}

// What keeps a guard from starting: not one session becomes ready. Its standard error is heard
// where it is started for that.
[[noreturn]] void fail_trial(const std::string& mode) {
    if (mode == "trial-dies") {
        ::signal(SIGSYS, SIG_DFL);
        ::raise(SIGSYS);
    } else if (mode == "trial-other-kind") {
        put({'h', 'e', 'l', 'l', 'o', '\n'});
        stand_still();
    } else if (mode == "trial-silent") {
        stand_still();
    }
    std::fputs("postern-session: seccomp: load: Invalid argument\n", stderr);
    std::exit(1);
}

// Whether this guard has started no other one before. Nothing else tells its trial from a session
// whose first message is still to come.
bool is_trial() {
    const std::string mark = own_folder() + "/tried-by-" + std::to_string(::getppid());
    const UniqueFd made(::open(mark.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    return made.get() >= 0;
}

void act_when_ready(const std::string& mode);

void act(const std::string& mode) {
    if (mode == "silent") stand_still();  // never becomes ready
    if (mode == "call-before-ready") {
        say(ConnectionId{1}, RequestId{1}, DescribeCall{"hello"});
        drain();
    }
    if (mode == "other-version") {
        say(channel::Ready{"0.0.0-other"});
        drain();
    }
    say(channel::Ready{version});
    act_when_ready(mode);
}

void act_when_ready(const std::string& mode) {
    if (mode == "ready-twice") {
        say(channel::Ready{version});
        drain();
    }
    if (mode == "no-acknowledgement") stand_still();  // neither reads nor acknowledges
    if (mode.starts_with("packet-")) act_on_packet(mode);
    const auto id = next_of<channel::Connections>().body.all.front().id;
    if (mode == "call-before-acknowledgement") {
        say(id, RequestId{1}, RunCall{"hello", {{"name", std::string("x")}}, ""});
        drain();
    }
    say(channel::Accepted{{id}});

    const channel::Bytes good =
        channel::encode({id, RequestId{1}, channel::ToGuard(DescribeCall{"hello"})});
    channel::Bytes bad = good;
    if (mode == "wrong-length") {
        bad[4] ^= 1;
        put(bad);
    } else if (mode == "truncated") {
        bad.pop_back();
        put(bad);
    } else if (mode == "wrong-version") {
        bad[0] = 99;
        put(bad);
    } else if (mode == "wrong-kind") {
        bad[1] = 250;
        put(bad);
    } else if (mode == "guards-kind") {
        put(channel::encode({id, RequestId{1}, channel::ToSession(JobOutput{})}));
    } else if (mode == "acknowledge-twice") {
        say(channel::Accepted{{id}});
    } else if (mode == "foreign-id") {
        // Ids are given in order over all sessions, so this one is another session's.
        say(beside(id, -1), RequestId{1}, RunCall{"hello", {{"name", std::string("stolen")}}, ""});
    } else if (mode == "answered-connection") {
        say(reply_to(id));
    } else if (mode == "closed-id") {
        say(closed(id));
        say(id, RequestId{1}, RunCall{"hello", {{"name", std::string("ghost")}}, ""});
    } else if (mode == "descriptors") {
        put(good, {0, 1});
    } else if (mode == "random") {
        std::mt19937 random(42);
        for (int i = 0; i < 100'000; ++i) {
            channel::Bytes noise(random() % 200 + 1);
            for (auto& byte : noise) byte = static_cast<std::uint8_t>(random());
            // Half of them get past the header.
            if (i % 2 == 0 && noise.size() >= 20) {
                noise[0] = channel::version;
                noise[1] = static_cast<std::uint8_t>(
                    64 + random() % std::variant_size_v<channel::ToGuard>);
                noise[2] = noise[3] = 0;
                noise[4] = static_cast<std::uint8_t>(noise.size() - 20);
                noise[5] = noise[6] = noise[7] = 0;
            }
            put(noise);
        }
    } else if (mode == "same-request") {
        say(id, RequestId{7}, RunCall{"sleep", {}, ""});
        say(id, RequestId{7}, RunCall{"sleep", {}, ""});
    } else if (mode == "bad-key") {
        say(id, RequestId{7}, RunCall{"hello", {{"name", std::string("x")}}, "a/b"});
    } else if (mode == "long-action") {
        say(id, RequestId{7}, RunCall{std::string(70'000, 'a'), {}, ""});
    } else if (mode == "long-job") {
        say(id, RequestId{7}, FollowCall{JobId(std::string(70'000, 'a'))});
    } else if (mode == "long-arguments") {
        const std::vector<Scalar> items(20, std::string(4096, 'a'));
        say(id, RequestId{7}, CheckCall{"hello", {{"name", Value(items)}}});
    } else if (mode == "claims-output" || mode == "takes-back-output") {
        // Of a job that writes nothing.
        say(id, RequestId{1}, RunCall{"sleep", {}, ""});
        static_cast<void>(next_of<JobStarted>());
        const std::uint64_t out = mode == "claims-output" ? 1 : 0;
        say(id, RequestId{1}, OutputTaken{out, not_awaited});
        say(id, RequestId{1}, OutputTaken{out, 0});
    } else if (mode == "follows") {
        // One job, followed again and again through one connection.
        std::ofstream answers("/proc/self/fd/9");
        say(id, RequestId{1}, RunCall{"sleep", {}, ""});
        const auto job = next_of<JobStarted>().body.job;
        for (std::uint32_t request = 2; request < 5; ++request) {
            say(id, RequestId{request}, FollowCall{job});
            static_cast<void>(next_of<JobStarted>());
        }
        say(id, RequestId{5}, FollowCall{job});
        answers << next_of<Refused>().body.message << std::endl;
    } else if (mode == "others-output") {
        // Of another caller's job that runs: asked for again and again, and then told of as if it
        // were followed here, so that it would not be held back.
        std::ofstream answers("/proc/self/fd/9");
        for (std::uint32_t request = 1; request <= 50; ++request) {
            say(id, RequestId{request}, FollowCall{JobId(foreign_job())});
            answers << next_of<Refused>().body.message << std::endl;
        }
        say(beside(id, -1), RequestId{1}, OutputTaken{1 << 20, 1 << 20});
    } else if (mode == "claims") {
        // What its caller may not run, and arguments that nobody may give. The answers go to the
        // file "answers" beside the program, for the test to read.
        std::ofstream answers("/proc/self/fd/9");
        const auto ask = [&answers, id](std::uint32_t request, channel::ToGuard call) {
            say(id, RequestId{request}, std::move(call));
            const auto refused = next_of<Refused>().body;
            answers << static_cast<int>(refused.refusal) << ' ' << refused.message << std::endl;
        };
        ask(1, RunCall{"root-only", {}, ""});
        ask(2, CheckCall{"root-only", {}});
        ask(3, DescribeCall{"root-only"});
        ask(4, RunCall{"hello", {{"name", std::string("a\nb")}}, ""});
        ask(5, RunCall{"hello", {{"name", std::int64_t{5}}}, ""});
        ask(6, RunCall{"hello", {{"name", std::string("x")}, {"name", std::string("y")}}, ""});
        ask(7, RunCall{std::string("he\0llo", 6), {}, ""});
        // A job of another caller.
        ask(8, FollowCall{JobId(foreign_job())});
        ask(9, LookUpCall{JobId(foreign_job())});
        ask(10, LookUpCall{JobId("../jobs/" + foreign_job())});
        answers << "done" << std::endl;
    } else if (mode == "many-values" || mode == "heavy") {
        // The dearest packets that there are, without end: of more values than a caller can send,
        // and of as many.
        std::vector<Scalar> items(mode == "heavy" ? 4000 : 60'000);
        for (std::size_t i = 0; mode == "heavy" && i < 14; ++i) items[i] = std::string(4000, 'x');
        const channel::Bytes packet = channel::encode(
            {id, RequestId{1}, channel::ToGuard(CheckCall{"note", {{"t", Value(items)}}})});
        for (;;) {
            pollfd ready{guard, POLLIN | POLLOUT, 0};
            ::poll(&ready, 1, -1);
            if ((ready.revents & POLLIN) != 0) static_cast<void>(next());
            if (channel::send_packet(guard, packet, {}) == channel::Sent::ended) std::exit(0);
        }
    } else if (mode == "flood-unread") {
        // Asks without end and never reads the answers.
        for (;;) say(id, RequestId{1}, DescribeCall{"hello"});
    }
    drain();
}

}  // namespace

int main(int /*argc*/, char** argv) {
    const std::string folder = own_folder();
    std::uint32_t uid = 0;
    std::string mode;
    std::string real;
    std::ifstream(folder + "/mode") >> uid >> mode >> real;
    if (mode.starts_with("trial-")) fail_trial(mode);
    const bool trial = is_trial();
    const bool plays_tried = mode.starts_with(tried);
    if (trial && plays_tried) say(channel::Ready{version});
    const bool hostile = trial == plays_tried && peek_uid() == uid;
    if (!hostile) {
        ::execv(real.c_str(), argv);
        return 3;
    }
    const int answers = ::open((folder + "/answers").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (answers >= 0) ::dup2(answers, 9);
    if (trial) {
        act_when_ready(mode.substr(tried.size()));
    } else {
        act(mode);
    }
    return 0;
}
