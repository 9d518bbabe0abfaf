#include "daemon/guard/policy_store.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/unique_fd.h"

namespace postern {

struct PolicyStore::Shared {
    policy::LoadOptions options;
    UniqueFd done;  // eventfd: a result is there
    std::mutex mutex;
    std::condition_variable work;
    std::uint64_t requested = 0;  // by load()
    std::uint64_t served = 0;     // the one that the last load began after
    bool stopping = false;
    std::deque<std::pair<Result<policy::SnapshotPtr>, std::uint64_t>> results;
};

namespace {

Result<policy::SnapshotPtr> load_once(const policy::LoadOptions& options) {
    // On a thread of its own an exception would end the guard, and every job with it.
    try {
        POSTERN_TRY(auto loaded, policy::load(options));
        return policy::SnapshotPtr(std::make_shared<const policy::Snapshot>(std::move(loaded)));
    } catch (const std::exception& error) {
        return fail(std::string("the action files can't be loaded: ") + error.what());
    }
}

template <typename S>
void load_until_stopped(const std::shared_ptr<S>& shared) {
    std::unique_lock lock(shared->mutex);
    for (;;) {
        shared->work.wait(lock,
                          [&] { return shared->served != shared->requested || shared->stopping; });
        if (shared->stopping) return;
        const std::uint64_t request = shared->requested;
        shared->served = request;
        lock.unlock();
        auto result = load_once(shared->options);
        lock.lock();
        shared->results.emplace_back(std::move(result), request);
        // An eventfd takes 2^64 - 2 of these before it would block (eventfd(2)).
        const std::uint64_t one = 1;
        (void)!::write(shared->done.get(), &one, sizeof one);
    }
}

}  // namespace

Result<std::unique_ptr<PolicyStore>> PolicyStore::create(sd_event* event,
                                                         policy::LoadOptions options,
                                                         Loaded loaded) {
    auto shared = std::make_shared<Shared>();
    shared->options = std::move(options);
    shared->done.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!shared->done) return fail(std::string("eventfd: ") + std::strerror(errno));
    std::unique_ptr<PolicyStore> store(new PolicyStore(shared, std::move(loaded)));
    const int r = add_io(event, store->source_, shared->done.get(), EPOLLIN,
                         [store = store.get()](std::uint32_t) { store->on_loaded(); });
    if (r < 0) return fail(std::string("action files: ") + std::strerror(-r));
    try {
        // Detached: a look-up that hangs must not hold up the end of the process.
        std::thread(load_until_stopped<Shared>, shared).detach();
    } catch (const std::system_error& error) {
        return fail(std::string("action files: no thread: ") + error.what());
    }
    return store;
}

PolicyStore::PolicyStore(std::shared_ptr<Shared> shared, Loaded loaded)
    : shared_(std::move(shared)), loaded_(std::move(loaded)) {}

PolicyStore::~PolicyStore() {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
    shared_->work.notify_all();
}

std::uint64_t PolicyStore::load() {
    const std::lock_guard lock(shared_->mutex);
    shared_->work.notify_all();
    return ++shared_->requested;
}

void PolicyStore::on_loaded() {
    std::uint64_t count = 0;
    (void)!::read(shared_->done.get(), &count, sizeof count);
    std::deque<std::pair<Result<policy::SnapshotPtr>, std::uint64_t>> results;
    {
        const std::lock_guard lock(shared_->mutex);
        results.swap(shared_->results);
    }
    for (auto& [result, request] : results) loaded_(std::move(result), request);
}

}  // namespace postern
