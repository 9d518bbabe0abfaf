// While a job writes nothing: one line on the terminal that says what runs and for how long.
#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "ctl/wire/connection.h"

namespace postern::ctl {

class QuietNotice final : public Beside {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds patience{2};

    // `beside`: what continues beside the connection as well; it outlives this.
    explicit QuietNotice(Beside& beside) : beside_(beside) {}

    // From now on: `what` runs, for so long already. Only on a terminal (show_status()),
    // and not where standard output goes through a pipe.
    void begin(std::string what, std::chrono::seconds already);
    // Something came.
    void stir() { last_ = Clock::now(); }
    // Nothing is said any more, and what stands there goes.
    void end();

    void watch(std::vector<pollfd>& watched) override;
    [[nodiscard]] bool ready() const override { return beside_.ready(); }
    bool go_on(std::span<const pollfd> watched) override;

  private:
    void arm(Clock::duration wait);
    void tick();

    Beside& beside_;
    UniqueFd timer_;  // invalid: nothing is said
    std::string what_;
    Clock::time_point since_;
    Clock::time_point last_;
};

}  // namespace postern::ctl
