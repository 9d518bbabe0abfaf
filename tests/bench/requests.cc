// The client of requests.py, and the bare process that it is compared with.
//
//     bench_requests echo PATH                      sends back whatever comes, for ever
//     bench_requests pings PATH CONNECTIONS COUNT   one Ping under way on each connection
//     bench_requests connects PATH COUNT            connect, one Ping, close
//
// Prints one JSON object; times in microseconds.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace {

using Clock = std::chrono::steady_clock;
using postern::UniqueFd;

// With the NUL that ends it.
constexpr char ping_text[] = R"({"method":"org.postern.Actions.Ping","parameters":{"ping":"x"}})";
constexpr std::string_view ping{ping_text, sizeof ping_text};

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

UniqueFd unix_socket(const std::string& path, bool listen) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) die("path too long");
    path.copy(address.sun_path, path.size());
    const auto* name = reinterpret_cast<const sockaddr*>(&address);
    if (listen) {
        if (::bind(socket.get(), name, sizeof address) != 0 || ::listen(socket.get(), 64) != 0) {
            die("listen");
        }
    } else if (::connect(socket.get(), name, sizeof address) != 0) {
        die("connect");
    }
    return socket;
}

void watch(int epoll, int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

int echo(const std::string& path) {
    const UniqueFd listener = unix_socket(path, true);
    const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    watch(epoll.get(), listener.get());
    std::vector<UniqueFd> connections;
    std::array<epoll_event, 64> events;
    std::array<char, 4096> buffer;
    for (;;) {
        const int count = ::epoll_wait(epoll.get(), events.data(), events.size(), -1);
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if (fd == listener.get()) {
                connections.emplace_back(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
                watch(epoll.get(), connections.back().get());
                continue;
            }
            const ssize_t size = ::recv(fd, buffer.data(), buffer.size(), 0);
            if (size > 0) {
                (void)::send(fd, buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL);
            } else {
                std::erase_if(connections, [fd](const UniqueFd& c) { return c.get() == fd; });
            }
        }
    }
}

void send_ping(int fd) {
    if (::send(fd, ping.data(), ping.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(ping.size())) {
        die("send");
    }
}

void take_reply(int fd) {
    std::array<char, 4096> buffer;
    const ssize_t size = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (size <= 0 || buffer[static_cast<std::size_t>(size) - 1] != '\0') die("no whole reply");
}

void print(std::vector<double>& times, double seconds) {
    std::sort(times.begin(), times.end());
    const auto at = [&](double share) {
        return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
    };
    std::printf("{\"per_second\": %.0f, \"p50\": %.1f, \"p99\": %.1f, \"worst\": %.1f}\n",
                static_cast<double>(times.size()) / seconds, at(0.5), at(0.99), at(1));
}

double microseconds(Clock::time_point since) {
    return std::chrono::duration<double, std::micro>(Clock::now() - since).count();
}

int pings(const std::string& path, std::size_t connections, std::size_t count) {
    const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    std::vector<UniqueFd> clients;
    for (std::size_t i = 0; i < connections; ++i) {
        clients.push_back(unix_socket(path, false));
        watch(epoll.get(), clients.back().get());
        send_ping(clients.back().get());  // the first one waits for the session
        take_reply(clients.back().get());
    }
    std::vector<Clock::time_point> sent(static_cast<std::size_t>(clients.back().get()) + 1);
    std::vector<double> times;
    times.reserve(count);
    const auto began = Clock::now();
    for (const UniqueFd& client : clients) {
        sent[static_cast<std::size_t>(client.get())] = Clock::now();
        send_ping(client.get());
    }
    std::array<epoll_event, 64> events;
    while (times.size() < count) {
        const int ready = ::epoll_wait(epoll.get(), events.data(), events.size(), -1);
        for (int i = 0; i < ready; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            take_reply(fd);
            times.push_back(microseconds(sent[static_cast<std::size_t>(fd)]));
            sent[static_cast<std::size_t>(fd)] = Clock::now();
            send_ping(fd);
        }
    }
    print(times, microseconds(began) / 1e6);
    return 0;
}

int connects(const std::string& path, std::size_t count) {
    std::vector<double> times;
    const auto began = Clock::now();
    for (std::size_t i = 0; i < count; ++i) {
        const auto start = Clock::now();
        const UniqueFd client = unix_socket(path, false);
        send_ping(client.get());
        take_reply(client.get());
        times.push_back(microseconds(start));
    }
    print(times, microseconds(began) / 1e6);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 2 && words[0] == "echo") return echo(words[1]);
    if (words.size() == 4 && words[0] == "pings") {
        return pings(words[1], std::stoul(words[2]), std::stoul(words[3]));
    }
    if (words.size() == 3 && words[0] == "connects")
        return connects(words[1], std::stoul(words[2]));
    std::fputs(
        "usage: bench_requests echo PATH | pings PATH CONNECTIONS COUNT | "
        "connects PATH COUNT\n",
        stderr);
    return 2;
}
