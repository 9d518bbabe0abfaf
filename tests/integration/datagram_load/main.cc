// Many senders of packets, each with a socket and a thread of its own, who count what comes back.
//
//     datagram-load pings SERVER FOLDER SENDERS COUNT
//         each sends COUNT Pings from FOLDER/N, at most `window` unanswered at a time, and expects
//         exactly the replies to them, in their order; prints {"per_second": ...} or says what
//         came instead and exits with 1
//     datagram-load echoes SERVER FOLDER SENDERS COUNT
//         the same, at a server that echoes
//     datagram-load echo SERVER
//         the bare thing to measure against: binds SERVER, and sends every packet back
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace {

using postern::UniqueFd;

// Fewer than the shortest receive queue holds (net.unix.max_dgram_qlen is 10 where nobody set it):
// a reply is sent at once or never.
constexpr int window = 4;

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return address;
}

UniqueFd bind_to(const std::string& path) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_of(path);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        std::perror(path.c_str());
        std::exit(1);
    }
    return socket;
}

std::string ping(int sender, int number) {
    return R"({"method":"org.postern.Actions.Ping","parameters":{"ping":")" +
           std::to_string(sender) + "." + std::to_string(number) + "\"}}";
}

std::string pong(int sender, int number) {
    return R"({"parameters":{"pong":")" + std::to_string(sender) + "." + std::to_string(number) +
           "\"}}";
}

// Empty: all came as it should.
std::string send_all(const std::string& server, const std::string& own, int sender, int count,
                     bool echo) {
    const UniqueFd socket = bind_to(own);
    const timeval patience{30, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const sockaddr_un to = address_of(server);
    std::array<char, 65536> buffer;
    int sent = 0;
    for (int answered = 0; answered < count; ++answered) {
        for (; sent < count && sent - answered < window; ++sent) {
            const std::string packet = ping(sender, sent);
            // Waits while the server's queue is full.
            if (::sendto(socket.get(), packet.data(), packet.size(), 0,
                         reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0) {
                return "packet " + std::to_string(sent) + ": " + std::strerror(errno);
            }
        }
        const ssize_t length = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
        if (length < 0) return "reply " + std::to_string(answered) + ": " + std::strerror(errno);
        const std::string_view reply(buffer.data(), static_cast<std::size_t>(length));
        const std::string expected = echo ? ping(sender, answered) : pong(sender, answered);
        if (reply != expected) return "not " + expected + " but " + std::string(reply);
    }
    if (::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) >= 0) {
        return "a reply too many";
    }
    return {};
}

int pings(const std::string& server, const std::string& folder, int senders, int count, bool echo) {
    std::vector<std::string> failures(static_cast<std::size_t>(senders));
    std::vector<std::thread> threads;
    const auto began = std::chrono::steady_clock::now();
    for (int sender = 0; sender < senders; ++sender) {
        threads.emplace_back([&, sender] {
            failures[static_cast<std::size_t>(sender)] =
                send_all(server, folder + "/" + std::to_string(sender), sender, count, echo);
        });
    }
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    bool good = true;
    for (const std::string& failure : failures) {
        if (failure.empty()) continue;
        good = false;
        std::fprintf(stderr, "%s\n", failure.c_str());
    }
    std::printf("{\"per_second\": %.0f}\n", senders * count / took.count());
    return good ? 0 : 1;
}

int echo(const std::string& path) {
    const UniqueFd socket = bind_to(path);
    ::chmod(path.c_str(), 0666);
    std::array<char, 65536> buffer;
    for (;;) {
        sockaddr_un from{};
        socklen_t length = sizeof from;
        const ssize_t count = ::recvfrom(socket.get(), buffer.data(), buffer.size(), 0,
                                         reinterpret_cast<sockaddr*>(&from), &length);
        if (count < 0) return 1;
        (void)::sendto(socket.get(), buffer.data(), static_cast<std::size_t>(count), 0,
                       reinterpret_cast<const sockaddr*>(&from), length);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 2 && words[0] == "echo") return echo(words[1]);
    if (words.size() == 5 && (words[0] == "pings" || words[0] == "echoes")) {
        return pings(words[1], words[2], std::atoi(words[3].c_str()), std::atoi(words[4].c_str()),
                     words[0] == "echoes");
    }
    std::fputs("usage: datagram-load pings|echoes SERVER FOLDER SENDERS COUNT | echo SERVER\n",
               stderr);
    return 2;
}
