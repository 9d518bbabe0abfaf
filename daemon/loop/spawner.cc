#include "daemon/loop/spawner.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>

#include "base/control_data.h"
#include "base/unique_fd.h"
#include "daemon/loop/started_thread.h"

namespace postern {
namespace {

// Above all that a program is given: dup2(2) to one never hits the source of another.
constexpr int lowest_source = 32;

// Those that this process ignores. All others are by default after an exec without our doing, and
// each that is named costs a child a call. (What it comes to ignore later stays ignored.)
sigset_t ignored_signals() {
    sigset_t ignored;
    sigemptyset(&ignored);
    for (int number = 1; number < _NSIG; ++number) {
        struct sigaction action{};
        if (::sigaction(number, nullptr, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 &&
            action.sa_handler == SIG_IGN) {  // NOLINT(performance-no-int-to-ptr)
            sigaddset(&ignored, number);
        }
    }
    return ignored;
}

// What posix_spawn(3) is told.
struct SpawnPlan {
    posix_spawn_file_actions_t actions{};
    posix_spawnattr_t attributes{};

    explicit SpawnPlan(const sigset_t& by_default) {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
        sigset_t none;
        sigemptyset(&none);
        ::posix_spawnattr_setsigdefault(&attributes, &by_default);
        ::posix_spawnattr_setsigmask(&attributes, &none);
        ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    }
    ~SpawnPlan() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;
};

// `sources`: the program, then each descriptor of it. 0 or errno.
int spawn_here(const Program& program, const std::vector<UniqueFd>& sources,
               const sigset_t& by_default, pid_t& pid) {
    SpawnPlan plan(by_default);
    for (std::size_t i = 0; i < program.descriptors.size(); ++i) {
        const int error = ::posix_spawn_file_actions_adddup2(&plan.actions, sources[i + 1].get(),
                                                             program.descriptors[i].second);
        if (error != 0) return error;
    }
    std::vector<char*> arguments;
    arguments.reserve(program.arguments.size() + 1);
    for (const std::string& argument : program.arguments) {
        arguments.push_back(const_cast<char*>(argument.c_str()));  // posix_spawn(3) only reads
    }
    arguments.push_back(nullptr);
    std::array<char*, 1> no_environment{};
    // Of the process that is started: its own descriptors.
    const std::string path = "/proc/self/fd/" + std::to_string(sources.front().get());
    return ::posix_spawn(&pid, path.c_str(), &plan.actions, &plan.attributes, arguments.data(),
                         no_environment.data());
}

// Empty: the other end is closed. An errno in `error`.
std::vector<UniqueFd> receive_descriptors(int socket, int& error) {
    ReceivedByte message = receive_byte(socket);
    error = message.length < 0 || message.lost_some ? EMFILE : 0;
    return std::move(message.descriptors);
}

// From here on the thread has these alone, and no number that a program is given is free for what
// it receives. What fills them is closed by a program's exec.
Status have_descriptors_of_its_own(int kept) {
    if (::unshare(CLONE_FILES) != 0) return fail(std::string("unshare: ") + std::strerror(errno));
    const auto first = static_cast<unsigned>(kept);
    if ((first > 3 && ::close_range(3, first - 1, 0) != 0) ||
        ::close_range(first + 1, UINT_MAX, 0) != 0) {
        return fail(std::string("close_range: ") + std::strerror(errno));
    }
    for (;;) {
        UniqueFd filling = duplicate(kept, 0);
        if (!filling) return fail(std::string("descriptors: ") + std::strerror(errno));
        if (filling.get() >= lowest_source) return {};
        (void)filling.release();
    }
}

// What became of an order.
struct SpawnReply {
    int error = 0;
    pid_t pid = -1;
};

}  // namespace

struct Spawner::State {
    UniqueFd ours;      // closed to end the thread
    std::mutex asking;  // one order at a time
    std::mutex mutex;
    Program order;  // goes with the descriptors
    std::thread thread;

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
        ours.reset();
        if (thread.joinable()) thread.join();
    }
    void run(int socket, std::promise<Status> begun);
};

void Spawner::State::run(int socket, std::promise<Status> begun) {
    if (auto own = have_descriptors_of_its_own(socket); !own) {
        return begun.set_value(std::move(own));
    }
    begun.set_value({});
    const UniqueFd channel(socket);
    const sigset_t ignored = ignored_signals();
    for (;;) {
        SpawnReply reply;
        std::vector<UniqueFd> sources = receive_descriptors(channel.get(), reply.error);
        if (sources.empty() && reply.error == 0) return;
        if (reply.error == 0) {
            const std::lock_guard lock(mutex);
            reply.error = spawn_here(order, sources, ignored, reply.pid);
        }
        // Before anybody knows of the program: whoever waits for the end of what it was given must
        // not miss it because this thread still has a copy.
        sources.clear();
        (void)::send(channel.get(), &reply, sizeof reply, MSG_NOSIGNAL);
    }
}

Spawner::Spawner(std::unique_ptr<State> state) : state_(std::move(state)) {}
Spawner::~Spawner() = default;

Result<std::unique_ptr<Spawner>> Spawner::create() {
    std::array<int, 2> pair{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        return fail(std::string("socketpair: ") + std::strerror(errno));
    }
    auto state = std::make_unique<State>();
    state->ours.reset(pair[0]);
    UniqueFd theirs(pair[1]);
    // It has a copy of its own once it has begun.
    auto thread =
        start_thread([raw = state.get(), socket = theirs.get()](std::promise<Status> begun) {
            raw->run(socket, std::move(begun));
        });
    if (!thread) return fail("starting programs: " + thread.error().message);
    state->thread = std::move(*thread);
    return std::unique_ptr<Spawner>(new Spawner(std::move(state)));
}

Result<pid_t> Spawner::spawn(const Program& program) {
    std::vector<int> descriptors{program.file};
    for (const auto& [own, as] : program.descriptors) descriptors.push_back(own);
    assert(descriptors.size() <= most_with_a_byte);
    const std::lock_guard one(state_->asking);
    {
        const std::lock_guard lock(state_->mutex);
        state_->order = program;
    }
    SpawnReply reply;
    if (!send_byte(state_->ours.get(), 0, descriptors)) {
        reply.error = errno;
    } else {
        ssize_t length = 0;
        do {
            length = ::recv(state_->ours.get(), &reply, sizeof reply, 0);
        } while (length < 0 && errno == EINTR);
        if (length != sizeof reply) reply.error = EPIPE;
    }
    if (reply.error != 0) {
        return fail(program.arguments.front() + ": " + std::strerror(reply.error));
    }
    return reply.pid;
}

}  // namespace postern
