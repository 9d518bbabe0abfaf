// Receives packets in a thread of its own, which a stranger can make wait for a moment (dropper.h),
// and keeps them until the loop takes them. It keeps few: where the loop does not get on, packets
// wait in the kernel's queue, and when that is full, their senders do.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
#include "daemon/guard/datagram/datagram_receiver.h"
#include "daemon/loop/dropper.h"
#include "daemon/loop/event_flag.h"

namespace postern {

class DatagramInbox {
  public:
    struct Item {
        std::size_t socket = 0;  // which one of those of create()
        DatagramReceiver::Received received;
    };

    // The sockets as of DatagramReceiver. Nothing is received before start(). Errors: no thread or
    // descriptor to be had.
    static Result<std::unique_ptr<DatagramInbox>> create(const std::vector<int>& sockets,
                                                         Dropper::Source source);
    // As stop().
    ~DatagramInbox();
    DatagramInbox(const DatagramInbox&) = delete;
    DatagramInbox& operator=(const DatagramInbox&) = delete;

    void start();
    // One more to receive from: its number is the next one. It outlives this.
    void add(int socket);
    // Receives no more, and waits until it is so: for no longer than a dropper takes. What was
    // received is still there.
    void stop();
    [[nodiscard]] bool is_empty() const;

    // Whether the units of senders are to be read when their packets are received: some rule names
    // one. Until this is said they are.
    void set_reads_units(bool reads) { reads_units_ = reads; }

    // Readable when there is something to take; now and then there is nothing.
    [[nodiscard]] int descriptor() const { return ready_.descriptor(); }
    // All that is there.
    std::deque<Item> take();

  private:
    DatagramInbox(const std::vector<int>& sockets, Dropper::Source source);
    Status begin();
    void run();
    bool wait(std::vector<pollfd>& fds);
    void take_added();
    void receive_from(std::size_t number);
    bool keep(std::size_t number, DatagramReceiver::Batch batch);

    // The thread's own.
    Dropper dropper_;
    std::vector<std::unique_ptr<DatagramReceiver>> receivers_;
    std::size_t first_ = 0;  // of them, in the next round
    std::size_t room_ = 0;   // for so many more, for sure
    bool failing_ = false;   // the last attempt to receive

    std::atomic<bool> reads_units_ = true;
    EventFlag wake_;   // the thread has to look again
    EventFlag ready_;  // there is something to take
    mutable std::mutex mutex_;
    std::deque<Item> items_;
    std::vector<int> added_;    // that the thread is to take
    bool awaits_room_ = false;  // the thread
    bool started_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace postern
