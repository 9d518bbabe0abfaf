#include "daemon/guard/datagram/datagram_replier.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/limits.h"
#include "daemon/guard/datagram/datagram_sender.h"

namespace postern {
namespace {

constexpr std::size_t most_threads = 64;
// Sockets of reserve, one for each uid: see send_one().
constexpr std::size_t most_reserves = 256;
constexpr std::size_t most_lanes = 4096;
constexpr std::size_t most_failures = 32;  // kept, until somebody asks

using Ids = std::pair<uid_t, gid_t>;

}  // namespace

struct DatagramReplier::State {
    // The replies to one identity; at most one thread sends them at a time.
    struct Lane {
        std::deque<DatagramReply> replies;
        std::size_t bytes = 0;
    };

    std::vector<UniqueFd> sockets;
    bool own = false;

    std::mutex mutex;
    std::condition_variable work;
    std::map<Ids, Lane> lanes;  // those with a reply that waits or is being sent
    std::deque<Ids> ready;      // lanes that no thread is at
    std::map<uid_t, UniqueFd> reserves;
    std::size_t threads = 0;
    std::size_t idle = 0;
    std::size_t pending = 0;
    std::size_t pending_bytes = 0;
    std::vector<std::string> failures;
    bool stopping = false;

    void run();
    int send_one(DatagramSender& sender, const DatagramReply& reply);
    int reserve(uid_t uid);
};

// A reply that its receiver has not read counts against the send buffer of the socket that it was
// sent from (unix(7)): whoever reads none of theirs could fill the one that all replies come from.
// Then a socket of the sender's own uid, without an address, takes its place.
int DatagramReplier::State::send_one(DatagramSender& sender, const DatagramReply& reply) {
    if (auto became = sender.become(reply.uid, reply.gid); !became) return EPERM;
    const int error = sender.send(sockets[reply.socket].get(), reply.path, reply.bytes);
    if (error != EAGAIN) return error;
    const int other = reserve(reply.uid);
    return other < 0 ? error : sender.send(other, reply.path, reply.bytes);
}

// Negative: none to be had. Only lanes of this uid use it, and none is taken away while there is
// one.
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

void DatagramReplier::State::run() {
    auto sender = DatagramSender::create(own);
    std::unique_lock lock(mutex);
    for (;;) {
        ++idle;
        work.wait(lock, [&] { return stopping || !ready.empty(); });
        --idle;
        if (stopping) return;
        const Ids ids = ready.front();
        ready.pop_front();
        Lane& lane = lanes.at(ids);
        const DatagramReply reply = std::move(lane.replies.front());
        lane.replies.pop_front();
        lock.unlock();
        const int error = sender ? send_one(*sender, reply) : EPERM;  // may stand still
        lock.lock();
        if (error != 0 && failures.size() < most_failures) {
            failures.push_back("no reply to uid " + std::to_string(reply.uid) + " at " +
                               reply.path + ": " + std::strerror(error));
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
    // What a thread must give up before it sends anything, and the ids that it takes on: it can
    // here, or there is no use in starting.
    constexpr Ids somebody{1, 1};
    Status tried;
    std::thread([&] {
        auto sender = DatagramSender::create(own);
        if (sender && !own) tried = sender->become(somebody.first, somebody.second);
        if (!sender) tried = fail(sender.error().message);
    }).join();
    if (!tried) return fail("replies to packets: " + tried.error().message);
    auto state = std::make_shared<State>();
    state->own = own;
    for (const int socket : sockets) {
        UniqueFd copy(::fcntl(socket, F_DUPFD_CLOEXEC, 3));
        if (!copy) return fail(std::string("datagram socket: ") + std::strerror(errno));
        state->sockets.push_back(std::move(copy));
    }
    return std::unique_ptr<DatagramReplier>(new DatagramReplier(std::move(state)));
}

DatagramReplier::DatagramReplier(std::shared_ptr<State> state) : state_(std::move(state)) {}

DatagramReplier::~DatagramReplier() {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->work.notify_all();
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
    if (state_->ready.size() > state_->idle && state_->threads < most_threads) {
        try {
            // Detached, since one that stands still must not hold up the end of the process; the
            // state is shared with it.
            std::thread([state = state_] { state->run(); }).detach();
            ++state_->threads;
            // NOLINTNEXTLINE(bugprone-empty-catch): there is nothing to do, see inside
        } catch (const std::system_error&) {
            // No more threads to be had: those that there are take it in turn.
        }
    }
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
