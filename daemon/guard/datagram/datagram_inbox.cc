#include "daemon/guard/datagram/datagram_inbox.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace postern {
namespace {

// Few, since whoever sends without pause has all others behind them: what is received at once.
constexpr std::size_t most_items = DatagramReceiver::most_at_once;
// How long nothing is received after the kernel had no memory for it.
constexpr std::chrono::milliseconds failure_time{200};

}  // namespace

DatagramInbox::DatagramInbox(const std::vector<int>& sockets, Dropper::Source source)
    : dropper_(source) {
    for (const int socket : sockets) {
        receivers_.push_back(std::make_unique<DatagramReceiver>(socket, dropper_));
    }
}

Result<std::unique_ptr<DatagramInbox>> DatagramInbox::create(const std::vector<int>& sockets,
                                                             Dropper::Source source) {
    std::unique_ptr<DatagramInbox> inbox(new DatagramInbox(sockets, source));
    if (const Status begun = inbox->begin(); !begun) {
        return fail("receiving datagrams: " + begun.error().message);
    }
    return inbox;
}

DatagramInbox::~DatagramInbox() {
    stop();
}

Status DatagramInbox::begin() {
    if (!wake_ || !ready_) return fail(std::string("eventfd: ") + std::strerror(errno));
    try {
        thread_ = std::thread(&DatagramInbox::run, this);
    } catch (const std::system_error& error) {
        return fail(std::string("can't start a thread: ") + error.what());
    }
    return {};
}

void DatagramInbox::start() {
    {
        const std::lock_guard lock(mutex_);
        started_ = true;
    }
    wake_.raise();
}

void DatagramInbox::add(int socket) {
    {
        const std::lock_guard lock(mutex_);
        added_.push_back(socket);
    }
    wake_.raise();
}

void DatagramInbox::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.raise();
    if (thread_.joinable()) thread_.join();
}

bool DatagramInbox::is_empty() const {
    const std::lock_guard lock(mutex_);
    return items_.empty();
}

// Lowered first: what is raised from now on is for what is kept from now on, or, where the thread
// had kept it and not come to raise it yet, for nothing.
std::deque<DatagramInbox::Item> DatagramInbox::take() {
    ready_.lower();
    std::deque<Item> items;
    bool awaits_room = false;
    {
        const std::lock_guard lock(mutex_);
        items.swap(items_);
        awaits_room = std::exchange(awaits_room_, false);
    }
    if (awaits_room) wake_.raise();
    return items;
}

// ---- In the thread ----

void DatagramInbox::run() {
    std::vector<pollfd> fds;
    while (wait(fds)) {
        // Each comes first in its turn, since the first may take all the room.
        const std::size_t count = fds.size() - 1;
        for (std::size_t i = 0; i < count && room_ > 0 && !failing_; ++i) {
            const std::size_t number = (first_ + i) % count;
            if (fds[number].revents != 0) receive_from(number);
        }
        if (count > 0) first_ = (first_ + 1) % count;
    }
}

// With the mutex taken.
void DatagramInbox::take_added() {
    for (const int socket : added_) {
        receivers_.push_back(std::make_unique<DatagramReceiver>(socket, dropper_));
    }
    added_.clear();
}

// False: it is to stop.
bool DatagramInbox::wait(std::vector<pollfd>& fds) {
    bool receives = false;
    {
        const std::lock_guard lock(mutex_);
        take_added();
        room_ = most_items - items_.size();
        awaits_room_ = room_ == 0;
        receives = started_ && !failing_ && room_ > 0;
    }
    fds.clear();
    for (const auto& receiver : receivers_) {
        fds.push_back({receives ? receiver->socket() : -1, POLLIN, 0});
    }
    fds.push_back({wake_.descriptor(), POLLIN, 0});
    const int patience = failing_ ? static_cast<int>(failure_time.count()) : -1;
    failing_ = false;
    if (::poll(fds.data(), fds.size(), patience) <= 0) {
        for (pollfd& one : fds) one.revents = 0;
    } else if (fds.back().revents != 0) {
        wake_.lower();
    }
    const std::lock_guard lock(mutex_);
    return !stopping_;
}

void DatagramInbox::receive_from(std::size_t number) {
    for (bool more = true; more && room_ > 0 && !failing_;) {
        auto batch = receivers_[number]->receive(room_, reads_units_);
        if (batch.all.empty()) return;
        more = batch.more;
        room_ -= batch.all.size();
        failing_ = batch.all.back().state == DatagramReceiver::Received::State::failed;
        more = keep(number, std::move(batch)) && more;
    }
}

// False: it is to stop. The loop is told after the lock is free: it takes it when it wakes.
bool DatagramInbox::keep(std::size_t number, DatagramReceiver::Batch batch) {
    bool was_empty = false;
    bool stopping = false;
    {
        const std::lock_guard lock(mutex_);
        stopping = stopping_;
        was_empty = items_.empty();
        for (auto& received : batch.all) items_.push_back({number, std::move(received)});
    }
    if (was_empty) ready_.raise();
    return !stopping;
}

}  // namespace postern
