#include "daemon/loop/turn_loop.h"

#include <sys/epoll.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace postern {

TurnLoop::TurnLoop()
    : turns_([] { return std::chrono::steady_clock::now().time_since_epoch(); },
             [this] { work_.raise(); }) {}

Result<std::unique_ptr<TurnLoop>> TurnLoop::create(sd_event* event) {
    std::unique_ptr<TurnLoop> loop(new TurnLoop());
    if (!loop->work_) return fail(std::string("eventfd: ") + std::strerror(errno));
    const int r = add_io(event, loop->source_, loop->work_.descriptor(), EPOLLIN,
                         [raw = loop.get()](std::uint32_t) { raw->run(); });
    if (r < 0) return fail(std::string("turns: ") + std::strerror(-r));
    return loop;
}

void TurnLoop::run() {
    turns_.run();
    if (!turns_.has_work()) work_.lower();
}

}  // namespace postern
