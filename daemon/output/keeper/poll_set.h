// The descriptors that the keeper waits for, each with a number of its own (epoll(7)).
#pragma once

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern::output {

class PollSet {
  public:
    static Result<PollSet> create();

    // False: the kernel takes no more of them.
    bool add(int descriptor, std::uint32_t events, std::uint64_t number);
    // May be called by any thread.
    void change(int descriptor, std::uint32_t events, std::uint64_t number);
    // Before it is closed: others hold the same pipe, so the kernel would continue to watch it.
    void remove(int descriptor);

    // What happened; empty after `time`, or if a signal came. No time: waits as long as it takes.
    std::span<const epoll_event> wait(std::optional<std::chrono::steady_clock::duration> time);

  private:
    explicit PollSet(UniqueFd epoll) : epoll_(std::move(epoll)) {}

    UniqueFd epoll_;
    std::array<epoll_event, 64> events_{};
};

}  // namespace postern::output
