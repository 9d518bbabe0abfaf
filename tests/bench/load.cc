// What makes the load of the benchmarks, and the bare servers that Postern is measured against.
//
//     bench_load echo ADDRESS         sends back whatever comes, for ever
//     bench_load json ADDRESS         answers Pings by nlohmann::json, for ever
//     bench_load pings KIND ADDRESS CONNECTIONS DEPTH COUNT [SIZE]
//         so many pending on each connection, sent and awaited together, COUNT in all; SIZE: bytes
//         of each, which only an echo answers
//     bench_load connects KIND ADDRESS AT_ONCE COUNT
//         connect, one Ping, close
//     bench_load idle ADDRESS COUNT UIDS FIRST
//         holds connections of so many uids from FIRST on, each after one Ping, until its standard
//         input ends; needs root
//     bench_load runs CALLERS COUNT PAUSE PROGRAM...
//         starts a program and waits for its end, which must be 0; PAUSE: milliseconds before each
//
// ADDRESS is unix:PATH, dgram:PATH, tcp:PORT or udp:PORT. KIND is text, of which each message ends
// with NUL, or redis. Prints one JSON object; times in microseconds, with DEPTH of all that are
// sent together.
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace {

using Clock = std::chrono::steady_clock;
using postern::UniqueFd;

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

std::size_t index_of(int fd) {
    return static_cast<std::size_t>(fd);
}

// ---- Sockets ----

struct Address {
    int type = SOCK_STREAM;
    sockaddr_storage storage{};
    socklen_t length = 0;

    const sockaddr* name() const { return reinterpret_cast<const sockaddr*>(&storage); }
    bool is_unix() const { return storage.ss_family == AF_UNIX; }
};

Address address_of(const std::string& text) {
    const auto colon = text.find(':');
    const std::string kind = text.substr(0, colon);
    const std::string rest = text.substr(colon + 1);
    Address address;
    if (kind == "dgram" || kind == "udp") address.type = SOCK_DGRAM;
    if (kind == "unix" || kind == "dgram") {
        auto* name = reinterpret_cast<sockaddr_un*>(&address.storage);
        name->sun_family = AF_UNIX;
        if (rest.size() >= sizeof name->sun_path) die("path too long");
        rest.copy(name->sun_path, rest.size());
        address.length = sizeof *name;
    } else {
        auto* name = reinterpret_cast<sockaddr_in*>(&address.storage);
        name->sin_family = AF_INET;
        name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        name->sin_port = htons(static_cast<std::uint16_t>(std::stoul(rest)));
        address.length = sizeof *name;
    }
    return address;
}

void send_at_once(int fd) {
    const int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // others have none
}

UniqueFd new_socket(const Address& address) {
    return UniqueFd(::socket(address.storage.ss_family, address.type | SOCK_CLOEXEC, 0));
}

UniqueFd bound(const Address& address) {
    UniqueFd socket = new_socket(address);
    const int on = 1;
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(socket.get(), address.name(), address.length) != 0) die("bind");
    if (address.type == SOCK_STREAM && ::listen(socket.get(), 1024) != 0) die("listen");
    return socket;
}

UniqueFd connected(const Address& address) {
    UniqueFd socket = new_socket(address);
    if (address.is_unix() && address.type == SOCK_DGRAM) {  // replies need a name: any
        const sa_family_t family = AF_UNIX;
        const auto* name = reinterpret_cast<const sockaddr*>(&family);
        if (::bind(socket.get(), name, sizeof family) != 0) die("bind");
    }
    if (::connect(socket.get(), address.name(), address.length) != 0) die("connect");
    send_at_once(socket.get());
    return socket;
}

void watch(int epoll, int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

// Calls take(fd) for each that can be read, while go().
template <typename Go, typename Take>
void loop(int epoll, Go go, Take take) {
    std::array<epoll_event, 64> events;
    while (go()) {
        const int count = ::epoll_wait(epoll, events.data(), events.size(), -1);
        for (int i = 0; i < count && go(); ++i) take(events[index_of(i)].data.fd);
    }
}

// ---- Servers ----

struct Connection {
    UniqueFd fd;
    std::string pending;
};

// What answers the Pings in it; what is left is not whole yet.
std::string json_replies(std::string& pending) {
    std::string replies;
    std::size_t begin = 0;
    for (auto end = pending.find('\0'); end != std::string::npos; end = pending.find('\0', begin)) {
        const auto call =
            nlohmann::json::parse(pending.begin() + static_cast<std::ptrdiff_t>(begin),
                                  pending.begin() + static_cast<std::ptrdiff_t>(end));
        if (call.at("method") != "org.postern.Actions.Ping") die("another method");
        replies +=
            nlohmann::json{{"parameters", {{"pong", call.at("parameters").at("ping")}}}}.dump();
        replies += '\0';
        begin = end + 1;
    }
    pending.erase(0, begin);
    return replies;
}

int serve(const std::string& where, bool json) {
    const Address address = address_of(where);
    const UniqueFd listener = bound(address);
    const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    watch(epoll.get(), listener.get());
    std::vector<Connection> connections;  // by descriptor
    std::array<char, 65536> buffer;
    const auto datagram = [&](int fd) {
        sockaddr_storage from{};
        socklen_t length = sizeof from;
        auto* name = reinterpret_cast<sockaddr*>(&from);
        const ssize_t size = ::recvfrom(fd, buffer.data(), buffer.size(), 0, name, &length);
        if (size >= 0)
            (void)::sendto(fd, buffer.data(), index_of(static_cast<int>(size)), 0, name, length);
    };
    const auto accept_one = [&] {
        UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        send_at_once(fd.get());
        watch(epoll.get(), fd.get());
        connections.resize(std::max(connections.size(), index_of(fd.get()) + 1));
        Connection& connection = connections[index_of(fd.get())];
        connection = {std::move(fd), {}};
    };
    loop(
        epoll.get(), [] { return true; },
        [&](int fd) {
            if (address.type == SOCK_DGRAM) return datagram(fd);
            if (fd == listener.get()) return accept_one();
            Connection& connection = connections[index_of(fd)];
            const ssize_t size = ::recv(fd, buffer.data(), buffer.size(), 0);
            if (size <= 0) return connection.fd.reset();
            const std::string_view came(buffer.data(), static_cast<std::size_t>(size));
            if (!json) return (void)::send(fd, came.data(), came.size(), MSG_NOSIGNAL);
            const std::string replies = json_replies(connection.pending.append(came));
            (void)::send(fd, replies.data(), replies.size(), MSG_NOSIGNAL);
        });
    return 0;
}

// ---- Clients ----

struct Language {
    std::string ping;
    char end;              // of a line of the reply
    std::ptrdiff_t lines;  // of a reply
};

Language language_of(const std::string& kind) {
    using namespace std::string_literals;
    if (kind == "redis") return {"*2\r\n$4\r\nPING\r\n$1\r\nx\r\n", '\n', 2};
    return {"{\"method\":\"org.postern.Actions.Ping\",\"parameters\":{\"ping\":\"x\"}}\0"s, '\0',
            1};
}

void send_all(int fd, std::string_view text) {
    if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
        die("send");
}

// How many lines' ends came.
std::ptrdiff_t take_some(int fd, char end) {
    static std::array<char, 65536> buffer;
    const ssize_t size = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (size <= 0) die("no reply");
    return std::count(buffer.begin(), buffer.begin() + size, end);
}

void take_replies(int fd, const Language& language, std::ptrdiff_t lines) {
    while (lines > 0) lines -= take_some(fd, language.end);
}

double microseconds(Clock::time_point since) {
    return std::chrono::duration<double, std::micro>(Clock::now() - since).count();
}

int print(std::vector<double>& times, std::size_t count, Clock::time_point began) {
    const double seconds = microseconds(began) / 1e6;
    std::sort(times.begin(), times.end());
    const auto at = [&](double share) {
        return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
    };
    std::printf("{\"per_second\": %.2f, \"p50\": %.1f, \"p99\": %.1f}\n",
                static_cast<double>(count) / seconds, at(0.5), at(0.99));
    return 0;
}

int pings(const Language& language, const Address& address, std::size_t connections,
          std::size_t depth, std::size_t count) {
    struct Client {
        UniqueFd fd;
        std::ptrdiff_t lines = 0;  // that are still to come
        Clock::time_point sent;
    };
    const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    const std::ptrdiff_t lines = language.lines * static_cast<std::ptrdiff_t>(depth);
    std::string batch;
    for (std::size_t i = 0; i < depth; ++i) batch += language.ping;
    std::vector<Client> clients;  // by descriptor
    const auto next = [&](Client& client) {
        client.lines = lines;
        client.sent = Clock::now();
        send_all(client.fd.get(), batch);
    };
    for (std::size_t i = 0; i < connections; ++i) {
        UniqueFd fd = connected(address);
        send_all(fd.get(), language.ping);  // the first one waits for the session
        take_replies(fd.get(), language, language.lines);
        watch(epoll.get(), fd.get());
        clients.resize(std::max(clients.size(), index_of(fd.get()) + 1));
        clients[index_of(fd.get())].fd = std::move(fd);
    }
    std::vector<double> times;
    times.reserve(count / depth + 1);
    const auto began = Clock::now();
    for (Client& client : clients) {
        if (client.fd) next(client);
    }
    loop(
        epoll.get(), [&] { return times.size() * depth < count; },
        [&](int fd) {
            Client& client = clients[index_of(fd)];
            client.lines -= take_some(fd, language.end);
            if (client.lines > 0) return;
            times.push_back(microseconds(client.sent));
            next(client);
        });
    return print(times, times.size() * depth, began);
}

int connects(const Language& language, const Address& address, std::size_t at_once,
             std::size_t count) {
    struct Client {
        UniqueFd fd;
        Clock::time_point began;
    };
    const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    std::vector<Client> clients;  // by descriptor
    std::vector<double> times;
    times.reserve(count);
    std::size_t opened = 0;
    const auto open = [&] {
        if (opened++ >= count) return;
        const auto began = Clock::now();
        UniqueFd fd = connected(address);
        send_all(fd.get(), language.ping);
        watch(epoll.get(), fd.get());
        clients.resize(std::max(clients.size(), index_of(fd.get()) + 1));
        Client& client = clients[index_of(fd.get())];
        client = {std::move(fd), began};
    };
    const auto began = Clock::now();
    for (std::size_t i = 0; i < at_once; ++i) open();
    loop(
        epoll.get(), [&] { return times.size() < count; },
        [&](int fd) {
            take_replies(fd, language, language.lines);
            Client& client = clients[index_of(fd)];
            times.push_back(microseconds(client.began));
            client.fd.reset();
            open();
        });
    return print(times, count, began);
}

// The kernel says of each connection by whose effective ids it was made.
void become(uid_t uid) {
    if (::seteuid(0) != 0 || ::setegid(uid) != 0 || ::seteuid(uid) != 0) die("seteuid");
}

int idle(const Address& address, std::size_t count, std::size_t uids, std::size_t first) {
    const rlimit most{count + 64, count + 64};
    if (::setrlimit(RLIMIT_NOFILE, &most) != 0 || ::setgroups(0, nullptr) != 0) die("needs root");
    const Language language = language_of("text");
    std::vector<UniqueFd> connections;
    for (std::size_t i = 0; i < count; ++i) {
        become(static_cast<uid_t>(first + i % uids));
        connections.push_back(connected(address));
        send_all(connections.back().get(), language.ping);
        take_replies(connections.back().get(), language, 1);
    }
    std::puts("ready");
    std::fflush(stdout);
    char byte = 0;
    while (::read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return 0;
}

int runs(std::size_t callers, std::size_t count, long pause, char** argv) {
    posix_spawn_file_actions_t streams;
    posix_spawn_file_actions_init(&streams);
    for (int fd = 0; fd < 3; ++fd) {
        posix_spawn_file_actions_addopen(&streams, fd, "/dev/null", fd == 0 ? O_RDONLY : O_WRONLY,
                                         0);
    }
    std::map<pid_t, Clock::time_point> running;
    std::vector<double> times;
    std::size_t started = 0;
    const auto start = [&] {
        if (started++ >= count) return;
        if (pause > 0) std::this_thread::sleep_for(std::chrono::milliseconds(pause));
        const auto began = Clock::now();
        pid_t pid = 0;
        if (::posix_spawnp(&pid, argv[0], &streams, nullptr, argv, environ) != 0) die(argv[0]);
        running[pid] = began;
    };
    const auto began = Clock::now();
    for (std::size_t i = 0; i < callers; ++i) start();
    while (times.size() < count) {
        int status = 0;
        const pid_t pid = ::waitpid(-1, &status, 0);
        if (pid < 0) die("waitpid");
        times.push_back(microseconds(running.at(pid)));
        running.erase(pid);
        if (status != 0) {
            std::fprintf(stderr, "%s ended with wait status %d\n", argv[0], status);
            return 1;
        }
        start();
    }
    return print(times, count, began);
}

int run(const std::vector<std::string>& words, char** argv) {
    const auto number = [&](std::size_t i) {
        return static_cast<std::size_t>(std::stoul(words.at(i)));
    };
    const std::string verb = words.empty() ? "" : words[0];
    if (words.size() == 2 && (verb == "echo" || verb == "json"))
        return serve(words[1], verb == "json");
    if (verb == "pings" && (words.size() == 6 || words.size() == 7)) {
        Language language = language_of(words[1]);
        if (words.size() == 7) language.ping = std::string(number(6) - 1, 'x') + '\0';
        return pings(language, address_of(words[2]), number(4), number(5), number(3));
    }
    if (verb == "connects" && words.size() == 5) {
        return connects(language_of(words[1]), address_of(words[2]), number(4), number(3));
    }
    if (verb == "idle" && words.size() == 5)
        return idle(address_of(words[1]), number(2), number(3), number(4));
    if (verb == "runs" && words.size() >= 5) {
        return runs(number(1), number(2), static_cast<long>(number(3)), argv + 5);
    }
    std::fputs("bench_load echo|json|pings|connects|idle|runs ...: load.cc says what each takes\n",
               stderr);
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    return run({argv + 1, argv + argc}, argv);
}
