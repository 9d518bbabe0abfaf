#include "daemon/guard/datagram/datagram_inbox.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace postern {
namespace {

// Few, since whoever sends without pause has all others behind them.
constexpr std::size_t most_items = 8;
// Packets that are taken from one socket before the others are looked at.
constexpr int packets_in_turn = 16;
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
    const std::lock_guard lock(mutex_);
    started_ = true;
    wake_.raise();
}

void DatagramInbox::add(int socket) {
    const std::lock_guard lock(mutex_);
    added_.push_back(socket);
    wake_.raise();
}

void DatagramInbox::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        wake_.raise();
    }
    if (thread_.joinable()) thread_.join();
}

bool DatagramInbox::is_empty() const {
    const std::lock_guard lock(mutex_);
    return items_.empty();
}

std::optional<DatagramInbox::Item> DatagramInbox::take() {
    const std::lock_guard lock(mutex_);
    if (items_.empty()) return std::nullopt;
    if (items_.size() == most_items) wake_.raise();
    Item item = std::move(items_.front());
    items_.pop_front();
    if (items_.empty()) ready_.lower();
    return item;
}

// ---- In the thread ----

void DatagramInbox::run() {
    std::vector<pollfd> fds;
    while (wait(fds)) {
        for (std::size_t number = 0; number < receivers_.size(); ++number) {
            if (fds[number].revents != 0) receive_from(number);
        }
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
        receives = started_ && !failing_ && items_.size() < most_items;
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
    DatagramReceiver& receiver = *receivers_[number];
    for (int i = 0; i < packets_in_turn; ++i) {
        Item item{number, receiver.receive()};
        using State = DatagramReceiver::Received::State;
        if (item.received.state == State::nothing) break;
        failing_ = item.received.state == State::failed;
        if (!keep(std::move(item)) || failing_) break;
    }
}

// False: no more can be kept now.
bool DatagramInbox::keep(Item item) {
    const std::lock_guard lock(mutex_);
    if (items_.empty()) ready_.raise();
    items_.push_back(std::move(item));
    return items_.size() < most_items && !stopping_;
}

}  // namespace postern
