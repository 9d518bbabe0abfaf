// How much of the datagram socket waits for an answer: of one session, or of all.
//
// It is full at its bound, and until half of it is answered: whoever waits then waits once for
// many.
#pragma once

#include <cstddef>

namespace postern {

class PacketLoad {
  public:
    PacketLoad(std::size_t most_packets, std::size_t most_bytes)
        : most_packets_(most_packets), most_bytes_(most_bytes) {}

    void add(std::size_t bytes) {
        ++packets_;
        bytes_ += bytes;
        full_ = full_ || packets_ >= most_packets_ || bytes_ >= most_bytes_;
    }
    void remove(std::size_t packets, std::size_t bytes) {
        packets_ -= packets;
        bytes_ -= bytes;
        full_ = full_ && (packets_ > most_packets_ / 2 || bytes_ > most_bytes_ / 2);
    }
    [[nodiscard]] std::size_t packets() const { return packets_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] bool is_full() const { return full_; }

  private:
    std::size_t most_packets_;
    std::size_t most_bytes_;
    std::size_t packets_ = 0;
    std::size_t bytes_ = 0;
    bool full_ = false;
};

}  // namespace postern
