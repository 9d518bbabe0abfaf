#include "daemon/loop/dropper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>

#include "base/control_data.h"
#include "daemon/dropper/order.h"

namespace postern {
namespace {

// How long a process may take to begin with a packet: one that was just started has a program to
// load first, on a machine that may be busy.
constexpr std::chrono::seconds begin_time{1};
// How often one that has begun is looked at, and when it is taken for one that stands still though
// it does not look like it.
constexpr std::chrono::milliseconds look_time{3};
constexpr int most_looks = 300;
// A process that has not got on for so long gets no more to close, while there is another one...
constexpr std::chrono::milliseconds patience{10};
// ... and none has more of them before it than this: well below what its channel holds.
constexpr std::size_t most_orders = 32;

// Whether it waits for something that no signal ends (proc_pid_stat(5): state D).
bool stands_still(pid_t pid) {
    const std::string path = "/proc/" + std::to_string(pid) + "/stat";
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 64> text{};
    if (::read(file.get(), text.data(), text.size() - 1) <= 0) return false;
    const char* const end = std::strrchr(text.data(), ')');
    return end != nullptr && std::strncmp(end, ") D", 3) == 0;
}

}  // namespace

// Those that are still at it end by themselves when they are done: their channel is closed.
Dropper::~Dropper() {
    look();
    for (const Process& process : processes_) {
        if (process.orders == 0 || stands_still(process.pid)) ::kill(process.pid, SIGKILL);
    }
}

bool Dropper::close(std::span<UniqueFd> descriptors) {
    std::vector<int> numbers;
    std::ranges::transform(descriptors, std::back_inserter(numbers), &UniqueFd::get);
    while (Process* const process = for_closing()) {
        if (!order(*process, DropperOrder::close, numbers)) {
            if (process->broken) continue;
            return false;
        }
        // It has them, so these are not the last references.
        for (UniqueFd& descriptor : descriptors) descriptor.reset();
        tell_go(*process);
        return true;
    }
    return false;
}

bool Dropper::drop_packet(int socket) {
    while (Process* const process = idle()) {
        if (!order(*process, DropperOrder::packet, std::span(&socket, 1))) {
            if (process->broken) continue;
            return false;
        }
        if (take_begin(*process)) {
            await(*process);
            return true;
        }
        // What it was not told to do it never does: it finds its channel closed.
        end(*process);
        drop_ended();
        return false;
    }
    return false;
}

bool Dropper::order(Process& process, DropperOrder what, std::span<const int> descriptors) {
    if (!send_byte(process.channel.get(), static_cast<char>(what), descriptors, MSG_DONTWAIT)) {
        // Else there is no memory, or too many are on their way.
        process.broken = errno == EPIPE || errno == ECONNRESET;
        return false;
    }
    if (process.orders++ == 0) process.got_on = Clock::now();
    return true;
}

void Dropper::tell_go(Process& process) {
    process.owes_go =
        !send_byte(process.channel.get(), static_cast<char>(DropperOrder::go), {}, MSG_DONTWAIT);
}

// Null: none is to be had.
Dropper::Process* Dropper::idle() {
    look();
    auto found = std::ranges::find(processes_, 0U, &Process::orders);
    if (found == processes_.end() && start()) found = processes_.end() - 1;
    return found == processes_.end() ? nullptr : &*found;
}

Dropper::Process* Dropper::for_closing() {
    look();
    const auto least = [this](auto fits) {
        Process* best = nullptr;
        for (Process& one : processes_) {
            if (one.orders >= most_orders || one.owes_go || !fits(one)) continue;
            if (best == nullptr || one.orders < best->orders) best = &one;
        }
        return best;
    };
    const auto now = Clock::now();
    Process* found =
        least([&](const Process& one) { return one.orders == 0 || now < one.got_on + patience; });
    if (found == nullptr && start()) found = &processes_.back();
    return found != nullptr ? found : least([](const Process&) { return true; });
}

bool Dropper::start() {
    std::array<int, 2> pair{-1, -1};
    if (processes_.size() >= most_ ||
        ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        return false;
    }
    UniqueFd ours(pair[0]);
    const UniqueFd theirs(pair[1]);
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null) return false;
    auto pid = source_.spawner->spawn(
        {source_.program,
         {"postern-dropper"},
         {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}, {theirs.get(), dropper_channel_fd}}});
    if (!pid) return false;
    Process& made = processes_.emplace_back();
    made.pid = *pid;
    made.channel = std::move(ours);
    return true;
}

// Whether it begins. Before that nobody can tell one that stands still from one whose program is
// being loaded, or that another process keeps waiting; and the packet is on the socket yet.
bool Dropper::take_begin(Process& process) {
    pollfd answered{process.channel.get(), POLLIN, 0};
    int ready = 0;
    do {
        ready =
            ::poll(&answered, 1,
                   static_cast<int>(
                       std::chrono::duration_cast<std::chrono::milliseconds>(begin_time).count()));
    } while (ready < 0 && errno == EINTR);
    char byte = 0;
    if (ready <= 0 || ::recv(process.channel.get(), &byte, sizeof byte, MSG_DONTWAIT) <= 0) {
        return false;
    }
    return send_byte(process.channel.get(), static_cast<char>(DropperOrder::go), {}, MSG_DONTWAIT);
}

void Dropper::await(const Process& process) {
    bool stood_still = false;
    for (int looks = 0; looks < most_looks; ++looks) {
        pollfd done{process.channel.get(), POLLIN, 0};
        if (::poll(&done, 1, static_cast<int>(look_time.count())) > 0) return;
        // Twice, since anything may make it wait for a moment.
        const bool still = stands_still(process.pid);
        if (still && stood_still) return;
        stood_still = still;
    }
}

// What they have answered, and those that have died are gone.
void Dropper::look() {
    for (Process& one : processes_) {
        while (one.orders > 0 && !one.broken) {
            char byte = 0;
            const ssize_t got = ::recv(one.channel.get(), &byte, sizeof byte, MSG_DONTWAIT);
            if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
            one.broken = got <= 0;
            if (one.broken) break;
            --one.orders;
            one.got_on = Clock::now();
        }
        if (one.owes_go) tell_go(one);
        if (one.broken) end(one);
    }
    drop_ended();
}

void Dropper::drop_ended() {
    std::erase_if(processes_, [](const Process& one) { return one.broken; });
    std::erase_if(ended_, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
}

void Dropper::end(Process& process) {
    process.broken = true;
    ::kill(process.pid, SIGKILL);
    ended_.push_back(process.pid);
}

bool Dropper::tidy() {
    look();
    bool kept = false;
    bool busy = false;
    for (Process& one : processes_) {
        busy = busy || one.orders > 0;
        if (one.orders == 0 && std::exchange(kept, true)) end(one);
    }
    drop_ended();
    return busy || !ended_.empty();
}

}  // namespace postern
