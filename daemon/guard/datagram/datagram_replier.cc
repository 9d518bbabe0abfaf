#include "daemon/guard/datagram/datagram_replier.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/limits.h"
#include "daemon/guard/datagram/datagram_sender.h"
#include "daemon/loop/started_thread.h"

namespace postern {
namespace {

// Sockets of reserve, one for each uid: see send_one().
constexpr std::size_t most_reserves = 256;
constexpr std::size_t most_lanes = 4096;
constexpr std::size_t most_failures = 32;  // kept, until somebody asks

using Ids = std::pair<uid_t, gid_t>;

std::string text_of(int error) {
    if (error == ENOLINK) return "looking it up could take too long";
    if (error == EREMOTE) return "it is not on a local file system";
    return std::strerror(error);
}

}  // namespace

struct DatagramReplier::State {
    // The replies to one identity.
    struct Lane {
        std::deque<DatagramReply> replies;
        std::size_t bytes = 0;
    };

    std::vector<UniqueFd> sockets;
    bool own = false;

    std::mutex mutex;
    std::condition_variable work;
    std::map<Ids, Lane> lanes;  // those with a reply that waits or is being sent
    std::deque<Ids> ready;      // those of them that nothing is being sent of
    std::map<uid_t, UniqueFd> reserves;
    std::size_t pending = 0;
    std::size_t pending_bytes = 0;
    std::vector<std::string> failures;
    bool stopping = false;
    std::thread thread;

    State() = default;
    ~State();
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    Status begin();
    void run(std::promise<Status> begun);
    int send_one(DatagramSender& sender, int socket, const DatagramReply& reply);
    int reserve(uid_t uid);
};

// A reply that its receiver has not read counts against the send buffer of the socket that it was
// sent from (unix(7)): whoever reads none of theirs could fill the one that all replies come from.
// Then a socket of the sender's own uid, without an address, takes its place.
int DatagramReplier::State::send_one(DatagramSender& sender, int socket,
                                     const DatagramReply& reply) {
    if (auto became = sender.become(reply.uid, reply.gid); !became) return EPERM;
    const int error = sender.send(socket, reply.path, reply.bytes);
    if (error != EAGAIN) return error;
    const int other = reserve(reply.uid);
    return other < 0 ? error : sender.send(other, reply.path, reply.bytes);
}

// Negative: none to be had. None is taken away while there is a lane of its uid.
int DatagramReplier::State::reserve(uid_t uid) {
    const std::lock_guard lock(mutex);
    if (const auto found = reserves.find(uid); found != reserves.end()) return found->second.get();
    if (reserves.size() >= most_reserves) {
        // What was sent from it and is not read stays where it is (unix(7)).
        std::erase_if(reserves, [&](const auto& entry) {
            return lanes.lower_bound({entry.first, 0}) == lanes.lower_bound({entry.first + 1, 0});
        });
        if (reserves.size() >= most_reserves) return -1;
    }
    UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return -1;
    return reserves.emplace(uid, std::move(socket)).first->second.get();
}

DatagramReplier::State::~State() {
    {
        const std::lock_guard lock(mutex);
        stopping = true;
        work.notify_all();
    }
    if (thread.joinable()) thread.join();
}

Status DatagramReplier::State::begin() {
    POSTERN_TRY(thread,
                start_thread([this](std::promise<Status> begun) { run(std::move(begun)); }));
    return {};
}

void DatagramReplier::State::run(std::promise<Status> begun) {
    auto sender = DatagramSender::create(own);
    if (!sender) return begun.set_value(Unexpected(std::move(sender).error()));
    // The ids that it takes on: it can here, or there is no use in starting.
    constexpr Ids somebody{1, 1};
    begun.set_value(own ? Status() : sender->become(somebody.first, somebody.second));
    std::unique_lock lock(mutex);
    for (;;) {
        work.wait(lock, [&] { return stopping || !ready.empty(); });
        if (stopping) return;
        const Ids ids = ready.front();
        ready.pop_front();
        Lane& lane = lanes.at(ids);
        const DatagramReply reply = std::move(lane.replies.front());
        lane.replies.pop_front();
        const int socket = sockets[reply.socket].get();  // closed by nobody
        lock.unlock();
        const int error = send_one(*sender, socket, reply);
        lock.lock();
        if (error != 0 && failures.size() < most_failures) {
            failures.push_back("no reply to uid " + std::to_string(reply.uid) + " at " +
                               reply.path + ": " + text_of(error));
        }
        lane.bytes -= reply.bytes.size();
        pending_bytes -= reply.bytes.size();
        --pending;
        if (lane.replies.empty()) {
            lanes.erase(ids);
        } else {
            ready.push_back(ids);
        }
    }
}

Result<std::unique_ptr<DatagramReplier>> DatagramReplier::create(const std::vector<int>& sockets,
                                                                 bool own) {
    auto state = std::make_unique<State>();
    state->own = own;
    for (const int socket : sockets) {
        UniqueFd copy = duplicate(socket);
        if (!copy) return fail(std::string("datagram socket: ") + std::strerror(errno));
        state->sockets.push_back(std::move(copy));
    }
    if (const Status begun = state->begin(); !begun) {
        return fail("replies to datagrams: " + begun.error().message);
    }
    return std::unique_ptr<DatagramReplier>(new DatagramReplier(std::move(state)));
}

DatagramReplier::DatagramReplier(std::unique_ptr<State> state) : state_(std::move(state)) {}

DatagramReplier::~DatagramReplier() = default;

Status DatagramReplier::add(int socket) {
    UniqueFd copy = duplicate(socket);
    if (!copy) return fail(std::string("datagram socket: ") + std::strerror(errno));
    const std::lock_guard lock(state_->mutex);
    state_->sockets.push_back(std::move(copy));
    return {};
}

bool DatagramReplier::send(DatagramReply reply) {
    const Ids ids{reply.uid, reply.gid};
    const std::lock_guard lock(state_->mutex);
    if (state_->pending_bytes + reply.bytes.size() > limits::datagram_bytes) return false;
    const auto found = state_->lanes.find(ids);
    if (found == state_->lanes.end() && state_->lanes.size() >= most_lanes) return false;
    State::Lane& lane = state_->lanes[ids];
    if (lane.replies.size() >= limits::datagram_replies ||
        lane.bytes + reply.bytes.size() > limits::datagram_replies_bytes) {
        return false;
    }
    lane.bytes += reply.bytes.size();
    state_->pending_bytes += reply.bytes.size();
    lane.replies.push_back(std::move(reply));
    ++state_->pending;
    if (found == state_->lanes.end()) state_->ready.push_back(ids);
    state_->work.notify_one();
    return true;
}

std::vector<std::string> DatagramReplier::take_failures() {
    const std::lock_guard lock(state_->mutex);
    return std::exchange(state_->failures, {});
}

std::size_t DatagramReplier::pending() const {
    const std::lock_guard lock(state_->mutex);
    return state_->pending;
}

}  // namespace postern
