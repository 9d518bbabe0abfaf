// How far a client has the output of a job: what it was sent, as the guard is to know it.
//
// What is only queued for the client does not count: a session that is killed takes it along, and
// must not have said that it arrived.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "model/call.h"

namespace postern::session {

class Progress {
  public:
    using Clock = std::chrono::steady_clock;
    using Offsets = std::array<std::uint64_t, 2>;

    // The guard is told at least each time that the client was sent so many bytes. A job is held
    // back when it is a window of 1 MiB or more ahead of its slowest client: a message for each
    // quarter of that keeps it running, and these are few.
    static constexpr std::uint64_t step = std::uint64_t{256} * 1024;
    // And of any number of bytes, if it was not told for so long: a slow client must not look like
    // one that stands still.
    static constexpr std::chrono::seconds patience{1};

    // Once `bytes` in all have been sent, the client has each stream so far.
    void queued(std::uint64_t bytes, const Offsets& offsets);

    // So many bytes in all have been sent by now. Returns what to tell the guard, if anything.
    // `all`: nothing more comes at present, so it is told whatever is new.
    std::optional<OutputTaken> sent(std::uint64_t bytes, bool all, Clock::time_point now);

  private:
    struct Queued {
        std::uint64_t bytes;
        Offsets offsets;
    };
    std::deque<Queued> queued_;
    Offsets has_{};
    Offsets told_{};
    Clock::time_point told_at_;
};

}  // namespace postern::session
