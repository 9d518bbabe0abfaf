#include "daemon/guard/policy_store.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include "daemon/policy/file/people_reader.h"

namespace postern {

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

}  // namespace

Result<std::unique_ptr<PolicyStore>> PolicyStore::create(sd_event* event,
                                                         policy::LoadOptions options, Loaded loaded,
                                                         Refreshed refreshed) {
    std::unique_ptr<PolicyStore> store(new PolicyStore(std::move(loaded), std::move(refreshed)));
    // Before the first load: what changes while that reads is seen.
    store->watch(event, options.system_settings);
    auto worker = Files::create(
        event,
        [options = std::move(options), last = policy::SnapshotPtr()](const Asked& asked) mutable {
            return outcome_of(options, asked, last);
        },
        [raw = store.get()](std::vector<Outcome> outcomes) { raw->on_read(std::move(outcomes)); });
    if (!worker) return fail("action files: " + worker.error().message);
    store->files_ = std::move(*worker);
    return store;
}

PolicyStore::PolicyStore(Loaded loaded, Refreshed refreshed)
    : loaded_(std::move(loaded)), refreshed_(std::move(refreshed)) {}

// In the thread. `last`: what was read before, and is now.
std::optional<PolicyStore::Outcome> PolicyStore::outcome_of(const policy::LoadOptions& options,
                                                            const Asked& asked,
                                                            policy::SnapshotPtr& last) {
    if (!asked.request && !last) return std::nullopt;
    auto result = guarded(
        [&] { return asked.request ? load_once(options, last) : refresh_once(options, last); });
    // What failed to be read once more stays as it was; and every user may change something of an
    // account (chsh(1)) that concerns no rule.
    if (!asked.request && (!result || (*result)->people == last->people)) return std::nullopt;
    if (result) last = *result;
    return Outcome{std::move(result), asked.request};
}

// What is not begun yet is one order, however often it is asked for.
void PolicyStore::order(std::optional<std::uint64_t> request) {
    files_->order([&](std::deque<Asked>& waiting) {
        if (waiting.empty()) waiting.emplace_back();
        if (request) waiting.back().request = request;
    });
}

std::uint64_t PolicyStore::load() {
    order(++requested_);
    return requested_;
}

void PolicyStore::on_read(std::vector<Outcome> outcomes) {
    for (auto& [snapshot, request] : outcomes) {
        if (request) {
            loaded_(std::move(snapshot), *request);
        } else {
            refreshed_(std::move(*snapshot));
        }
    }
}

// The folder, since these files are replaced whole (rename(2)) by those who change them.
void PolicyStore::watch(sd_event* event, const std::string& folder) {
    constexpr std::uint32_t mask =
        IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
    changes_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!changes_ || ::inotify_add_watch(changes_.get(), folder.c_str(), mask) < 0) {
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
    if (changed) order(std::nullopt);
}

}  // namespace postern
