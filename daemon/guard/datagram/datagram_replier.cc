#include "daemon/guard/datagram/datagram_replier.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <future>
#include <iterator>
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
// Replies in one go, with which no more turns are taken: they count as pending until all of them
// are sent.
constexpr std::size_t most_in_hand = 64;

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
        std::size_t count = 0;  // with those that are being sent
        std::size_t bytes = 0;
    };
    // The next replies of one lane, all from one socket.
    struct Turn {
        Ids ids;
        int socket = -1;  // closed by nobody
        std::vector<DatagramReply> replies;
        std::size_t done = 0;  // the first of them
        std::vector<std::string> failures;
    };

    std::vector<UniqueFd> sockets;
    bool own = false;

    std::mutex mutex;
    std::condition_variable work;
    bool sleeps = false;        // the thread: it has to be woken
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
    std::vector<Turn> take_turns();
    Turn take_turn(const Ids& ids);
    void give_back(Turn& turn);
    void send(DatagramSender& sender, Turn& turn);
    int reserve(uid_t uid);
};

// A reply that its receiver has not read counts against the send buffer of the socket that it was
// sent from (unix(7)): whoever reads none of theirs could fill the one that all replies come from.
// Then a socket of the sender's own uid, without an address, takes its place.
void DatagramReplier::State::send(DatagramSender& sender, Turn& turn) {
    std::vector<DatagramSender::Parcel> parcels;
    parcels.reserve(turn.replies.size());
    for (const DatagramReply& reply : turn.replies) {
        parcels.push_back({reply.path.c_str(), reply.bytes});
    }
    turn.done = parcels.size();
    const auto [uid, gid] = turn.ids;
    if (auto became = sender.become(uid, gid); !became) {
        for (auto& parcel : parcels) parcel.error = EPERM;
    } else {
        turn.done =
            sender.send(turn.socket, parcels, [this, owner = uid] { return reserve(owner); });
    }
    for (std::size_t i = 0; i < turn.done; ++i) {
        if (parcels[i].error == 0) continue;
        turn.failures.push_back("no reply to uid " + std::to_string(uid) + " at " +
                                turn.replies[i].path + ": " + text_of(parcels[i].error));
    }
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
    }
    work.notify_all();
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
        sleeps = true;
        work.wait(lock, [&] { return stopping || !ready.empty(); });
        sleeps = false;
        if (stopping) return;
        std::vector<Turn> turns = take_turns();
        lock.unlock();
        for (Turn& turn : turns) send(*sender, turn);
        lock.lock();
        for (Turn& turn : turns) give_back(turn);
    }
}

// Of those that are ready, in their order, as many as make one go.
std::vector<DatagramReplier::State::Turn> DatagramReplier::State::take_turns() {
    std::vector<Turn> turns;
    for (std::size_t count = 0; !ready.empty() && count < most_in_hand;) {
        turns.push_back(take_turn(ready.front()));
        ready.pop_front();
        count += turns.back().replies.size();
    }
    return turns;
}

DatagramReplier::State::Turn DatagramReplier::State::take_turn(const Ids& ids) {
    std::deque<DatagramReply>& replies = lanes.at(ids).replies;
    const std::size_t socket = replies.front().socket;
    Turn turn{ids, sockets[socket].get(), {}, 0, {}};
    while (!replies.empty() && replies.front().socket == socket &&
           turn.replies.size() < DatagramSender::most_at_once) {
        turn.replies.push_back(std::move(replies.front()));
        replies.pop_front();
    }
    return turn;
}

// What was not done stays the lane's, before the others.
void DatagramReplier::State::give_back(Turn& turn) {
    Lane& lane = lanes.at(turn.ids);
    const auto rest = turn.replies.begin() + static_cast<std::ptrdiff_t>(turn.done);
    for (auto reply = turn.replies.begin(); reply != rest; ++reply) {
        lane.bytes -= reply->bytes.size();
        pending_bytes -= reply->bytes.size();
    }
    lane.count -= turn.done;
    pending -= turn.done;
    lane.replies.insert(lane.replies.begin(), std::make_move_iterator(rest),
                        std::make_move_iterator(turn.replies.end()));
    for (std::string& failure : turn.failures) {
        if (failures.size() < most_failures) failures.push_back(std::move(failure));
    }
    if (lane.count == 0) {
        lanes.erase(turn.ids);
    } else {
        ready.push_back(turn.ids);
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

bool DatagramReplier::add(DatagramReply reply) {
    const Ids ids{reply.uid, reply.gid};
    const std::lock_guard lock(state_->mutex);
    if (state_->pending_bytes + reply.bytes.size() > limits::datagram_bytes) return false;
    const auto found = state_->lanes.find(ids);
    if (found == state_->lanes.end() && state_->lanes.size() >= most_lanes) return false;
    State::Lane& lane = state_->lanes[ids];
    if (lane.count >= limits::datagram_replies ||
        lane.bytes + reply.bytes.size() > limits::datagram_replies_bytes) {
        return false;
    }
    lane.bytes += reply.bytes.size();
    state_->pending_bytes += reply.bytes.size();
    lane.replies.push_back(std::move(reply));
    ++lane.count;
    ++state_->pending;
    if (found == state_->lanes.end()) state_->ready.push_back(ids);
    return true;
}

// After the lock is free: the thread takes it when it wakes.
std::vector<std::string> DatagramReplier::send() {
    bool wakes = false;
    std::vector<std::string> failures;
    {
        const std::lock_guard lock(state_->mutex);
        wakes = state_->sleeps && !state_->ready.empty();
        // Once, however often it is asked before it has come to it.
        if (wakes) state_->sleeps = false;
        failures.swap(state_->failures);
    }
    if (wakes) state_->work.notify_one();
    return failures;
}

std::size_t DatagramReplier::pending() const {
    const std::lock_guard lock(state_->mutex);
    return state_->pending;
}

}  // namespace postern
