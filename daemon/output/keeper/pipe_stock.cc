#include "daemon/output/keeper/pipe_stock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/result.h"

namespace postern::output {
namespace {

constexpr std::uint32_t most_pipes_wanted = 256;

Result<std::pair<UniqueFd, UniqueFd>, int> make_pipe(mode_t mode) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Unexpected(errno);
    std::pair<UniqueFd, UniqueFd> made{UniqueFd(ends[0]), UniqueFd(ends[1])};
    if (::fchmod(made.second.get(), mode) != 0) return Unexpected(errno);
    return made;
}

}  // namespace

void PipeStock::want(std::uint32_t count) {
    wanted_ = std::min(most_pipes_wanted, wanted_ + std::min(most_pipes_wanted, count));
}

channel::Sent PipeStock::give(GuardLink& guard) {
    while (wanted_ > 0) {
        Message message;
        message.kind = kind_;
        if (!spare_) {
            auto made = make_pipe(mode_);
            if (made) {
                spare_ = *std::move(made);
            } else {
                message.error = static_cast<std::uint32_t>(made.error());
            }
        }
        channel::Sent sent = channel::Sent::sent;
        if (spare_) {
            const std::array<int, 2> ends = {spare_->first.get(), spare_->second.get()};
            sent = guard.send(message, ends);
        } else {
            sent = guard.send(message, {});
        }
        if (sent != channel::Sent::sent) return sent;
        wanted_ = spare_ ? wanted_ - 1 : 0;
        spare_.reset();
    }
    return channel::Sent::sent;
}

void PipeStock::stop() {
    wanted_ = 0;
    spare_.reset();
}

}  // namespace postern::output
