#include "daemon/loop/closer.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace postern {
namespace {

constexpr std::size_t most_threads = 64;

}  // namespace

struct Closer::State {
    std::mutex mutex;
    std::condition_variable work;
    std::deque<UniqueFd> queue;
    std::size_t threads = 0;
    std::size_t idle = 0;
    std::size_t closing = 0;
    bool stopping = false;
};

namespace {

template <typename S>
void close_until_stopped(const std::shared_ptr<S>& state) {
    std::unique_lock lock(state->mutex);
    for (;;) {
        ++state->idle;
        state->work.wait(lock, [&] { return state->stopping || !state->queue.empty(); });
        --state->idle;
        if (state->stopping) return;
        UniqueFd descriptor = std::move(state->queue.front());
        state->queue.pop_front();
        ++state->closing;
        lock.unlock();
        descriptor.reset();  // may stand still
        lock.lock();
        --state->closing;
    }
}

}  // namespace

Closer::Closer() : state_(std::make_shared<State>()) {}

Closer::~Closer() {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->work.notify_all();
}

void Closer::close(UniqueFd descriptor) {
    if (!descriptor) return;
    const std::lock_guard lock(state_->mutex);
    state_->queue.push_back(std::move(descriptor));
    if (state_->queue.size() > state_->idle && state_->threads < most_threads) {
        try {
            // Detached, since one that stands still must not hold up the end of the process; the
            // state is shared with it.
            std::thread(close_until_stopped<State>, state_).detach();
            ++state_->threads;
            // NOLINTNEXTLINE(bugprone-empty-catch): there is nothing to do, see inside
        } catch (const std::system_error&) {
            // No more threads to be had: those that there are take it in turn. With none at all it
            // waits for the next call, which tries again.
        }
    }
    state_->work.notify_one();
}

std::size_t Closer::pending() const {
    const std::lock_guard lock(state_->mutex);
    return state_->queue.size() + state_->closing;
}

}  // namespace postern
