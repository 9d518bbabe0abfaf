#include "daemon/loop/turn_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace postern {
// eventfd(2): neither call can fail, since the counter is 0 or 1.
TurnLoop::TurnLoop(UniqueFd work)
    : work_(std::move(work)),
      turns_([] { return std::chrono::steady_clock::now().time_since_epoch(); },
             [this] { (void)::eventfd_write(work_.get(), 1); }) {}

Result<std::unique_ptr<TurnLoop>> TurnLoop::create(sd_event* event) {
    UniqueFd work(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!work) return fail(std::string("eventfd: ") + std::strerror(errno));
    std::unique_ptr<TurnLoop> loop(new TurnLoop(std::move(work)));
    const int r = add_io(event, loop->source_, loop->work_.get(), EPOLLIN,
                         [raw = loop.get()](std::uint32_t) { raw->run(); });
    if (r < 0) return fail(std::string("turns: ") + std::strerror(-r));
    return loop;
}

void TurnLoop::run() {
    turns_.run();
    if (turns_.has_work()) return;
    eventfd_t count = 0;
    (void)::eventfd_read(work_.get(), &count);
}

}  // namespace postern
