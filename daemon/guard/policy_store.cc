#include "daemon/guard/policy_store.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/policy/file/people_reader.h"

namespace postern {

struct PolicyStore::Shared {
    policy::LoadOptions options;
    UniqueFd done;  // eventfd: a result is there
    std::mutex mutex;
    std::condition_variable work;
    std::uint64_t requested = 0;  // by load()
    std::uint64_t served = 0;     // the one that the last load began after
    bool changed = false;         // what is known of users
    bool stopping = false;
    struct Outcome {
        Result<policy::SnapshotPtr> snapshot;
        std::optional<std::uint64_t> request;  // absent: a refresh
    };
    std::deque<Outcome> results;
};

namespace {

// Those that say who is who (people_reader.h), by their names in LoadOptions::system_settings.
constexpr std::array<std::string_view, 6> watched = {"group",  "login.defs", "nsswitch.conf",
                                                     "passwd", "subgid",     "subuid"};

// On a thread of its own an exception would end the guard, and every job with it.
template <typename Load>
Result<policy::SnapshotPtr> guarded(Load load) {
    try {
        return load();
    } catch (const std::exception& error) {
        return fail(std::string("the action files can't be loaded: ") + error.what());
    }
}

// With the ranges of what was in force before.
policy::SnapshotPtr finish(policy::Snapshot snapshot, const policy::SnapshotPtr& before) {
    if (before) snapshot.people.keep_ranges_of(before->people);
    return std::make_shared<const policy::Snapshot>(std::move(snapshot));
}

Result<policy::SnapshotPtr> load_once(const policy::LoadOptions& options,
                                      const policy::SnapshotPtr& before) {
    POSTERN_TRY(auto loaded, policy::load(options));
    return finish(std::move(loaded), before);
}

Result<policy::SnapshotPtr> refresh_once(const policy::LoadOptions& options,
                                         const policy::SnapshotPtr& before) {
    policy::Snapshot snapshot = *before;
    snapshot.people = policy::read_people(options, snapshot);
    return finish(std::move(snapshot), before);
}

template <typename S>
void load_until_stopped(const std::shared_ptr<S>& shared) {
    policy::SnapshotPtr last;
    std::unique_lock lock(shared->mutex);
    for (;;) {
        shared->work.wait(lock, [&] {
            return shared->served != shared->requested || (shared->changed && last) ||
                   shared->stopping;
        });
        if (shared->stopping) return;
        const std::uint64_t request = shared->requested;
        const bool load = shared->served != request;
        shared->served = request;
        shared->changed = false;
        lock.unlock();
        auto result = guarded([&] {
            return load ? load_once(shared->options, last) : refresh_once(shared->options, last);
        });
        // What failed to be read once more stays as it was; and every user may change something of
        // an account (chsh(1)) that concerns no rule.
        const bool concerns = load || (result && (*result)->people != last->people);
        if (concerns && result) last = *result;
        lock.lock();
        if (!concerns) continue;
        shared->results.push_back(
            {std::move(result), load ? std::optional(request) : std::nullopt});
        // An eventfd takes 2^64 - 2 of these before it would block (eventfd(2)).
        const std::uint64_t one = 1;
        (void)!::write(shared->done.get(), &one, sizeof one);
    }
}

}  // namespace

Result<std::unique_ptr<PolicyStore>> PolicyStore::create(sd_event* event,
                                                         policy::LoadOptions options, Loaded loaded,
                                                         Refreshed refreshed) {
    auto shared = std::make_shared<Shared>();
    shared->options = std::move(options);
    shared->done.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!shared->done) return fail(std::string("eventfd: ") + std::strerror(errno));
    std::unique_ptr<PolicyStore> store(
        new PolicyStore(shared, std::move(loaded), std::move(refreshed)));
    // Before the first load: what changes while that reads is seen.
    store->watch(event);
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

PolicyStore::PolicyStore(std::shared_ptr<Shared> shared, Loaded loaded, Refreshed refreshed)
    : shared_(std::move(shared)), loaded_(std::move(loaded)), refreshed_(std::move(refreshed)) {}

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
    std::deque<Shared::Outcome> results;
    {
        const std::lock_guard lock(shared_->mutex);
        results.swap(shared_->results);
    }
    for (auto& [snapshot, request] : results) {
        if (request) {
            loaded_(std::move(snapshot), *request);
        } else {
            refreshed_(std::move(*snapshot));
        }
    }
}

// The folder, since these files are replaced whole (rename(2)) by those who change them.
void PolicyStore::watch(sd_event* event) {
    constexpr std::uint32_t mask =
        IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
    changes_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!changes_ ||
        ::inotify_add_watch(changes_.get(), shared_->options.system_settings.c_str(), mask) < 0) {
        return;
    }
    (void)add_io(event, watching_, changes_.get(), EPOLLIN,
                 [this](std::uint32_t) { on_changes(); });
}

void PolicyStore::on_changes() {
    constexpr std::size_t buffer_bytes = 16 * 1024;
    alignas(inotify_event) std::array<char, buffer_bytes> buffer{};
    const ssize_t got = ::read(changes_.get(), buffer.data(), buffer.size());
    bool changed = false;
    std::size_t at = 0;
    while (got > 0 && at + sizeof(inotify_event) <= static_cast<std::size_t>(got)) {
        inotify_event one{};
        std::memcpy(&one, &buffer[at], sizeof one);
        const std::string_view padded(&buffer[at + sizeof one], one.len);
        const std::string_view name = padded.substr(0, padded.find('\0'));
        at += sizeof one + one.len;
        changed = changed || (one.mask & IN_Q_OVERFLOW) != 0 ||
                  std::ranges::find(watched, name) != watched.end();
    }
    if (!changed) return;
    const std::lock_guard lock(shared_->mutex);
    shared_->changed = true;
    shared_->work.notify_all();
}

}  // namespace postern
