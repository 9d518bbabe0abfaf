#include "daemon/jobs/record/state_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/io.h"
#include "host/random_id.h"
#include "host/safe_file.h"
#include "host/same_file.h"

namespace postern::jobs {
namespace {

constexpr const char* key_name = "groups.key";
constexpr const char* new_key_name = "groups.key.new";
constexpr const char* lock_name = "lock";

std::string why_not(const std::string& what) {
    return std::string(what).append(": ").append(std::strerror(errno));
}

Unexpected<StateError> failed_for_now(const std::string& what) {
    return Unexpected(StateError{why_not(what), true});
}

Unexpected<StateError> failed_for_good(const std::string& message) {
    return Unexpected(StateError{message});
}

Result<void, StateError> make_folders(const std::string& path) {
    if (path.empty() || path.front() != '/') {
        return failed_for_good("state directory \"" + path + "\": give an absolute path");
    }
    for (std::size_t end = path.find('/', 1); true; end = path.find('/', end + 1)) {
        const std::string part = path.substr(0, end);
        // What is there is no error, on a read-only file system either.
        if (mkdir(part.c_str(), 0700) < 0 && errno != EEXIST) {
            return failed_for_now("state directory can't be made: " + part);
        }
        if (end == std::string::npos) return {};
    }
}

// On a read-only file system one that is there; it locks as well (flock(2)).
UniqueFd open_lock(int state_folder) {
    constexpr int flags = O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
    UniqueFd lock(openat(state_folder, lock_name, O_RDWR | O_CREAT | flags, 0600));
    if (lock || errno != EROFS) return lock;
    lock.reset(openat(state_folder, lock_name, O_RDONLY | flags));
    errno = EROFS;  // that there is none is not what is wrong
    return lock;
}

Result<std::string> true_path(int fd) {
    std::array<char, PATH_MAX> buffer{};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t length = readlink(link.c_str(), buffer.data(), buffer.size());
    if (length <= 0) return fail(why_not(link));
    return std::string(buffer.data(), static_cast<std::size_t>(length));
}

Status put_key(int state_folder, const GroupDigest::Key& key) {
    const UniqueFd file(openat(state_folder, new_key_name,
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    const std::string_view text(reinterpret_cast<const char*>(key.data()), key.size());
    if (!file || !write_all(file.get(), text) ||
        renameat(state_folder, new_key_name, state_folder, key_name) < 0) {
        return fail(why_not(key_name));
    }
    return {};
}

// Made once, and kept, so that records of the guard before this one are understood. Whose key is
// lost has callers who can't find their former jobs any more, and nothing worse.
Result<GroupDigest::Key> load_key(int state_folder) {
    GroupDigest::Key key{};
    const UniqueFd old(openat(state_folder, key_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (old && read(old.get(), key.data(), key.size()) == static_cast<ssize_t>(key.size())) {
        return key;
    }
    POSTERN_TRY(fill_with_random(key));
    POSTERN_TRY(put_key(state_folder, key));
    return key;
}

Result<GroupDigest::Key> key_of(int state_folder, const StateFolder::Held* held) {
    if (held == nullptr) return load_key(state_folder);
    POSTERN_TRY(put_key(state_folder, held->key));
    return held->key;
}

// `held`: what there was before; null: nothing.
Result<StateFolder, StateError> open_state(const std::string& state_folder,
                                           const StateFolder::Held* held) {
    POSTERN_TRY(make_folders(state_folder));
    const auto state = open_safe_folder(state_folder, geteuid());
    if (!state) {
        return Unexpected(
            StateError{"state directory " + state_folder + ": " + state.error().message,
                       state.error().kind != OpenError::Kind::unsafe});
    }
    auto path = true_path(state->get());
    if (!path) return failed_for_good(path.error().message);

    StateFolder folder;
    folder.path = *std::move(path);
    // The lock of this very process is not another's.
    if (held == nullptr || !lies_at(held->lock, folder.path + "/" + lock_name)) {
        folder.lock = open_lock(state->get());
        if (!folder.lock) return failed_for_now("state directory " + state_folder + ": lock");
        if (flock(folder.lock.get(), LOCK_EX | LOCK_NB) < 0) {
            return failed_for_good(
                "state directory " + state_folder +
                ": another guard uses it; stop that one, or choose another directory with --state");
        }
    }
    const Result<GroupDigest::Key> key = key_of(state->get(), held);
    if (!key) {
        return Unexpected(
            StateError{"state directory " + state_folder + ": " + key.error().message, true});
    }
    folder.key = *key;
    if (mkdirat(state->get(), "jobs", 0700) < 0 && errno != EEXIST) {
        return failed_for_now(state_folder + "/jobs");
    }
    folder.jobs =
        UniqueFd(openat(state->get(), "jobs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat status{};
    if (!folder.jobs || fstat(folder.jobs.get(), &status) < 0) {
        return failed_for_now(state_folder + "/jobs");
    }
    constexpr unsigned of_device = 40;
    folder.number = (std::uint64_t{status.st_dev} << of_device) ^ status.st_ino;
    // It holds what jobs wrote: for this user alone.
    if (status.st_uid != geteuid() ||
        ((status.st_mode & 07777U) != 0700 && fchmod(folder.jobs.get(), 0700) < 0)) {
        return failed_for_good(state_folder + "/jobs: belongs to uid " +
                               std::to_string(status.st_uid) + "; move it away");
    }
    return folder;
}

}  // namespace

Result<StateFolder, StateError> StateFolder::open(const std::string& path) {
    return open_state(path, nullptr);
}

Result<StateFolder, StateError> StateFolder::open_again(const Held& held) {
    return open_state(held.path, &held);
}

Result<void, int> StateFolder::check(const Held& held) {
    if (!lies_at(held.jobs, held.path + "/jobs") || !lies_at(held.lock, held.path + "/lock")) {
        return Unexpected(ENOENT);
    }
    // Also says EROFS (access(2)), which root gets like everybody.
    if (faccessat(held.jobs, ".", W_OK | X_OK, AT_EACCESS) < 0) return Unexpected(errno);
    return {};
}

}  // namespace postern::jobs
