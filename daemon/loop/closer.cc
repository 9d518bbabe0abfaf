#include "daemon/loop/closer.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/loop/thread_interrupt.h"

namespace postern {
namespace {

// Until a timer is tried to be had again.
constexpr std::chrono::milliseconds retry_time{200};

}  // namespace

struct Closer::State {
    std::mutex mutex;
    std::condition_variable work;
    std::deque<UniqueFd> queue;
    bool started = false;
    bool closing = false;
    bool stopping = false;

    void run();
};

void Closer::State::run() {
    std::optional<ThreadInterrupt> interrupt;
    bool armed = false;
    std::unique_lock lock(mutex);
    while (!stopping) {
        if (!interrupt) {
            if (auto made = ThreadInterrupt::create()) {
                interrupt.emplace(std::move(*made));
            } else {
                work.wait_for(lock, retry_time);
            }
            continue;
        }
        if (queue.empty()) {
            interrupt->disarm();
            armed = false;
            work.wait(lock, [&] { return stopping || !queue.empty(); });
            continue;
        }
        if (!std::exchange(armed, true)) interrupt->arm();
        UniqueFd descriptor = std::move(queue.front());
        queue.pop_front();
        closing = true;
        lock.unlock();
        descriptor.reset();  // may linger
        lock.lock();
        closing = false;
    }
}

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
    if (!state_->started) {
        try {
            // Detached, since it shares the state and has nothing to say at its end.
            std::thread([state = state_] { state->run(); }).detach();
            state_->started = true;
            // NOLINTNEXTLINE(bugprone-empty-catch): there is nothing to do, see inside
        } catch (const std::system_error&) {
            // No thread to be had: what waits, waits for the next call, which tries again.
        }
    }
    state_->work.notify_one();
}

std::size_t Closer::pending() const {
    const std::lock_guard lock(state_->mutex);
    return state_->queue.size() + (state_->closing ? 1 : 0);
}

}  // namespace postern
