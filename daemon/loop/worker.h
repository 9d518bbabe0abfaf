// What can take long (files, name services), beside the loop: a thread does one order after the
// other, and the loop is told what came of it.
//
// The thread is detached: what hangs in it must not hold up the end of the process.
#pragma once

#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/loop/event_flag.h"
#include "daemon/loop/event_source.h"

namespace postern {

template <typename Order, typename Answer>
class Worker {
  public:
    // `work` is called in the thread, and must not throw; absent: there is nothing to tell.
    // `answered` is called from the loop, with one answer at least. Errors: no descriptor or thread
    // to be had.
    static Result<std::unique_ptr<Worker>> create(
        sd_event* event, std::function<std::optional<Answer>(Order)> work,
        std::function<void(std::vector<Answer>)> answered) {
        std::unique_ptr<Worker> worker(new Worker(std::move(answered)));
        Shared& shared = *worker->shared_;
        if (!shared.flag) return fail(std::string("eventfd: ") + std::strerror(errno));
        const int r = add_io(event, worker->source_, shared.flag.descriptor(), EPOLLIN,
                             [raw = worker.get()](std::uint32_t) { raw->on_answers(); });
        if (r < 0) return fail(std::strerror(-r));
        try {
            std::thread([shared = worker->shared_, work = std::move(work)] {
                do_until_stopped(*shared, work);
            }).detach();
        } catch (const std::system_error& error) {
            return fail(std::string("no thread: ") + error.what());
        }
        return worker;
    }
    // Does not wait for an order that is being done.
    ~Worker() {
        const std::lock_guard lock(shared_->mutex);
        shared_->stopping = true;
        shared_->work.notify_all();
    }
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    // Calls `change` with the orders that are not begun yet, in their order, to add one or to merge
    // one with them.
    template <typename Change>
    void order(Change change) {
        const std::lock_guard lock(shared_->mutex);
        change(shared_->orders);
        shared_->work.notify_all();
    }

  private:
    struct Shared {
        EventFlag flag;  // an answer is there
        std::mutex mutex;
        std::condition_variable work;
        std::deque<Order> orders;
        std::vector<Answer> answers;
        bool stopping = false;
    };

    explicit Worker(std::function<void(std::vector<Answer>)> answered)
        : shared_(std::make_shared<Shared>()), answered_(std::move(answered)) {}

    static void do_until_stopped(Shared& shared,
                                 const std::function<std::optional<Answer>(Order)>& work) {
        std::unique_lock lock(shared.mutex);
        for (;;) {
            shared.work.wait(lock, [&] { return !shared.orders.empty() || shared.stopping; });
            if (shared.stopping) return;
            Order order = std::move(shared.orders.front());
            shared.orders.pop_front();
            lock.unlock();
            auto answer = work(std::move(order));
            lock.lock();
            if (!answer) continue;
            shared.answers.push_back(std::move(*answer));
            shared.flag.raise();
        }
    }

    void on_answers() {
        std::vector<Answer> answers;
        {
            const std::lock_guard lock(shared_->mutex);
            answers.swap(shared_->answers);
            shared_->flag.lower();
        }
        if (!answers.empty()) answered_(std::move(answers));
    }

    std::shared_ptr<Shared> shared_;
    std::function<void(std::vector<Answer>)> answered_;
    EventSource source_;
};

}  // namespace postern
