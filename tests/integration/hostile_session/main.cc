// A postern-session that its own caller has taken over: it takes the session's place on a real
// channel and does what one would do who wants to get out of it.
//
// The test puts it beside a copy of posternd, under the name postern-session, and a file "mode"
// with it: `UID MODE REAL`. Sessions for other uids become the program REAL.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "base/version.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"

namespace {

using namespace postern;

constexpr int guard = channel::session_fd;

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

void say(const channel::ToGuard& message) {
    put(channel::encode(message));
}

// The next message; ends with the channel. Descriptors stay open.
channel::ToSession next() {
    static channel::Receiver receiver;
    static std::vector<UniqueFd> kept;
    for (;;) {
        auto received = receiver.receive(guard);
        for (auto& descriptor : received.descriptors) kept.push_back(std::move(descriptor));
        if (received.state == channel::Received::State::ended) std::exit(0);
        if (received.state == channel::Received::State::packet) {
            auto message = channel::decode_to_session(received.packet);
            if (!message) std::exit(3);
            return *message;
        }
        wait_for(POLLIN);
    }
}

template <typename T>
T next_of() {
    for (;;) {
        auto message = next();
        if (auto* wanted = std::get_if<T>(&message)) return std::move(*wanted);
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
    const auto* welcome = std::get_if<channel::Welcome>(&*message);
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
    const auto id = next_of<channel::Datagram>().connection;
    const channel::Reply reply{id, channel::PacketFault::none, "reply"};
    if (mode == "packet-silent") {
        drain();  // takes all there are, and answers none
    } else if (mode == "packet-twice") {
        say(reply);
        say(reply);
    } else if (mode == "packet-foreign-id") {
        say(channel::Reply{id - 1, channel::PacketFault::none, "stolen"});
    } else if (mode == "packet-future-id") {
        say(channel::Reply{id + 1, channel::PacketFault::none, "early"});
    } else if (mode == "packet-not-given") {
        // The last of thirty, which wait for us to read: when the test says that they are there.
        while (::access((own_folder() + "/go").c_str(), F_OK) != 0) ::usleep(1000);
        say(channel::Reply{id + 29, channel::PacketFault::none, "guessed"});
    } else if (mode == "packet-two-calls") {
        say(channel::Check{id, 1, "hello", {}});
        say(channel::Run{id, 2, "hello", {{"name", std::string("x")}}, ""});
    } else if (mode == "packet-call-after-reply") {
        say(reply);
        say(channel::Run{id, 1, "hello", {{"name", std::string("x")}}, ""});
    } else if (mode == "packet-accepted") {
        say(channel::Accepted{id});
    } else if (mode == "packet-closed") {
        say(channel::Closed{id});
    } else if (mode == "packet-administration") {
        say(channel::Manage{id, 1, channel::Management::reload, ""});
    } else if (mode == "packet-long-reply") {
        say(channel::Reply{id, channel::PacketFault::none, std::string(65537, 'x')});
    } else if (mode == "packet-any-bytes") {
        say(channel::Reply{id, channel::PacketFault::none, std::string("\x1b[31m\n\0{", 8)});
    } else if (mode == "packet-dies") {
        std::exit(0);
    }
    drain();
}

void act(const std::string& mode) {
    if (mode == "silent") stand_still();  // never becomes ready
    if (mode == "call-before-ready") {
        say(channel::Describe{1, 1, "hello"});
        drain();
    }
    if (mode == "other-version") {
        say(channel::Ready{"0.0.0-other"});
        drain();
    }
    say(channel::Ready{version});
    if (mode == "ready-twice") {
        say(channel::Ready{version});
        drain();
    }
    if (mode == "no-acknowledgement") stand_still();  // neither reads nor acknowledges
    if (mode.starts_with("packet-")) act_on_packet(mode);
    const auto connection = next_of<channel::Connection>();
    if (mode == "call-before-acknowledgement") {
        say(channel::Run{connection.connection, 1, "hello", {{"name", std::string("x")}}, ""});
        drain();
    }
    say(channel::Accepted{connection.connection});

    const auto id = connection.connection;
    const channel::Bytes good =
        channel::encode(channel::ToGuard(channel::Describe{id, 1, "hello"}));
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
        put(channel::encode(channel::ToSession(channel::JobOutput{id, 1})));
    } else if (mode == "acknowledge-twice") {
        say(channel::Accepted{id});
    } else if (mode == "foreign-id") {
        // Ids are given in order over all sessions, so this one is another session's.
        say(channel::Run{id - 1, 1, "hello", {{"name", std::string("stolen")}}, ""});
    } else if (mode == "answered-connection") {
        say(channel::Reply{id, channel::PacketFault::none, "reply"});
    } else if (mode == "closed-id") {
        say(channel::Closed{id});
        say(channel::Run{id, 1, "hello", {{"name", std::string("ghost")}}, ""});
    } else if (mode == "descriptors") {
        put(good, {0, 1});
    } else if (mode == "random") {
        std::mt19937 random(42);
        for (int i = 0; i < 100'000; ++i) {
            channel::Bytes noise(random() % 200 + 1);
            for (auto& byte : noise) byte = static_cast<std::uint8_t>(random());
            // Half of them get past the header.
            if (i % 2 == 0 && noise.size() >= 8) {
                noise[0] = channel::version;
                noise[1] = static_cast<std::uint8_t>(
                    64 + random() % std::variant_size_v<channel::ToGuard>);
                noise[2] = noise[3] = 0;
                noise[4] = static_cast<std::uint8_t>(noise.size() - 8);
                noise[5] = noise[6] = noise[7] = 0;
            }
            put(noise);
        }
    } else if (mode == "same-request") {
        say(channel::Run{id, 7, "sleep", {}, ""});
        say(channel::Run{id, 7, "sleep", {}, ""});
    } else if (mode == "bad-key") {
        say(channel::Run{id, 7, "hello", {{"name", std::string("x")}}, "a/b"});
    } else if (mode == "long-action") {
        say(channel::Run{id, 7, std::string(70'000, 'a'), {}, ""});
    } else if (mode == "long-job") {
        say(channel::Follow{id, 7, std::string(70'000, 'a')});
    } else if (mode == "long-arguments") {
        const std::vector<Scalar> items(20, std::string(4096, 'a'));
        say(channel::Check{id, 7, "hello", {{"name", Value(items)}}});
    } else if (mode == "follows") {
        // One job, followed again and again through one connection.
        std::ofstream answers("/proc/self/fd/9");
        say(channel::Run{id, 1, "sleep", {}, ""});
        const auto job = next_of<channel::JobStarted>().job;
        for (std::uint32_t request = 2; request < 5; ++request) {
            say(channel::Follow{id, request, job});
            static_cast<void>(next_of<channel::JobStarted>());
        }
        say(channel::Follow{id, 5, job});
        answers << next_of<channel::Refused>().message << std::endl;
    } else if (mode == "claims") {
        // What its caller may not run, and arguments that nobody may give. The answers go to the
        // file "answers" beside the program, for the test to read.
        std::ofstream answers("/proc/self/fd/9");
        const auto ask = [&answers](const channel::ToGuard& call) {
            say(call);
            const auto refused = next_of<channel::Refused>();
            answers << static_cast<int>(refused.refusal) << ' ' << refused.message << std::endl;
        };
        ask(channel::Run{id, 1, "root-only", {}, ""});
        ask(channel::Check{id, 2, "root-only", {}});
        ask(channel::Describe{id, 3, "root-only"});
        ask(channel::Run{id, 4, "hello", {{"name", std::string("a\nb")}}, ""});
        ask(channel::Run{id, 5, "hello", {{"name", std::int64_t{5}}}, ""});
        ask(channel::Run{
            id, 6, "hello", {{"name", std::string("x")}, {"name", std::string("y")}}, ""});
        ask(channel::Run{id, 7, std::string("he\0llo", 6), {}, ""});
        // A job of another caller.
        ask(channel::Follow{id, 8, foreign_job()});
        ask(channel::LookUp{id, 9, foreign_job()});
        ask(channel::LookUp{id, 10, "../jobs/" + foreign_job()});
        answers << "done" << std::endl;
    } else if (mode == "flood-unread") {
        // Asks without end and never reads the answers.
        for (;;) say(channel::Describe{id, 1, "hello"});
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
    const auto ours = peek_uid();
    if (!ours) return 3;
    if (*ours != uid) {
        ::execv(real.c_str(), argv);
        return 3;
    }
    const int answers = ::open((folder + "/answers").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (answers >= 0) ::dup2(answers, 9);
    act(mode);
    return 0;
}
