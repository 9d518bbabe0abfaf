// Data that goes straight between a job and this process, through pipes that the daemon made: from
// the job to standard output, and from an input of ours to the job.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "ctl/wire/connection.h"
#include "ctl/wire/flow.h"

namespace postern::ctl {

// Which end of a pipe a descriptor is to be.
enum class PipeEnd : std::uint8_t { to_read, to_write };
// Whether it is that (fstat(2), F_GETFL): nothing else is read from or written to.
bool is_pipe_end(int descriptor, PipeEnd end);

class DirectData final : public Beside {
  public:
    // The job's output: to standard output, or to a function.
    void take_output(UniqueFd pipe);
    void take_output(UniqueFd pipe, Flow::Sink sink);
    // The job's input, from `source`, which is called `name` and stays the caller's. Its end of
    // file is the job's.
    void give_input(UniqueFd pipe, int source, std::string name);

    [[nodiscard]] bool moves_any() const { return out_ || in_; }

    // While the daemon is waited for.
    void watch(std::vector<pollfd>& watched) override;
    [[nodiscard]] bool ready() const override;
    // False: failure() says why.
    bool go_on(std::span<const pollfd> watched) override;

    // The job has ended: what its pipe holds now is all, whoever may still have the other end.
    // False: interrupted, or failure().
    bool finish(int interrupt);

    // What is wrong with our own side, in one line; empty: nothing.
    [[nodiscard]] const std::string& failure() const { return failure_; }

  private:
    void set_output(UniqueFd pipe, Flow flow);
    bool move_output(std::size_t most);
    bool move_input();

    UniqueFd output_;
    std::optional<Flow> out_;
    UniqueFd input_;
    std::optional<Flow> in_;
    std::string source_;
    std::string failure_;
    bool large_ = false;  // much of either has been moved
};

}  // namespace postern::ctl
