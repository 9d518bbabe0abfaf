#include "daemon/jobs/record/record_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>

#include "base/io.h"
#include "base/limits.h"
#include "host/directory.h"
#include "host/random_id.h"
#include "host/safe_file.h"

namespace postern::jobs {
namespace {

constexpr const char* key_name = "groups.key";
constexpr const char* new_key_name = "groups.key.new";

std::string why(const std::string& what) {
    return std::string(what).append(": ").append(std::strerror(errno));
}

Status make_folders(const std::string& path) {
    if (path.empty() || path.front() != '/') {
        return fail("state folder \"" + path + "\": give an absolute path");
    }
    for (std::size_t end = path.find('/', 1); true; end = path.find('/', end + 1)) {
        const std::string part = path.substr(0, end);
        if (mkdir(part.c_str(), 0700) < 0 && errno != EEXIST) {
            return fail("state folder can't be made: " + why(part));
        }
        if (end == std::string::npos) return {};
    }
}

Result<std::string> true_path(int fd) {
    std::array<char, PATH_MAX> buffer{};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t length = readlink(link.c_str(), buffer.data(), buffer.size());
    if (length <= 0) return fail(why(link));
    return std::string(buffer.data(), static_cast<std::size_t>(length));
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
    const UniqueFd file(openat(state_folder, new_key_name,
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    const std::string_view text(reinterpret_cast<const char*>(key.data()), key.size());
    if (!file || !write_all(file.get(), text) ||
        renameat(state_folder, new_key_name, state_folder, key_name) < 0) {
        return fail(why(key_name));
    }
    return key;
}

// Some hundred bytes, where the arguments alone may be 64 KiB: there are thousands.
Record for_memory(Record record) {
    decltype(record.arguments)().swap(record.arguments);
    for (std::string* text : {&record.boot, &record.cgroup, &record.unit, &record.message}) {
        std::string().swap(*text);
    }
    return record;
}

}  // namespace

Result<RecordStore> RecordStore::open(const std::string& state_folder,
                                      const std::string& runtime_folder, const Retention& retention,
                                      Notice notice) {
    POSTERN_TRY(make_folders(state_folder));
    const auto state = open_safe_folder(state_folder, geteuid());
    if (!state) return fail("state folder " + state_folder + ": " + state.error().message);
    POSTERN_TRY(std::string path, true_path(state->get()));

    const Result<GroupDigest::Key> key = load_key(state->get());
    if (!key) return fail("state folder " + state_folder + ": " + key.error().message);

    RecordStore store{GroupDigest(*key)};
    store.state_folder_ = std::move(path);
    store.lock_ = UniqueFd(
        openat(state->get(), "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600));
    if (!store.lock_) return fail(why("state folder " + state_folder + ": lock"));
    if (flock(store.lock_.get(), LOCK_EX | LOCK_NB) < 0) {
        return fail(
            "state folder " + state_folder +
            ": another guard uses it; stop that one, or choose another folder with --state");
    }
    if (mkdirat(state->get(), "jobs", 0700) < 0 && errno != EEXIST) {
        return fail(why(state_folder + "/jobs"));
    }
    store.jobs_ =
        UniqueFd(openat(state->get(), "jobs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat status{};
    if (!store.jobs_ || fstat(store.jobs_.get(), &status) < 0) {
        return fail(why(state_folder + "/jobs"));
    }
    // Jobs' output files can be written by anyone who gets this far.
    if (status.st_uid != geteuid() || fchmod(store.jobs_.get(), 0700) < 0) {
        return fail(state_folder + "/jobs: belongs to uid " + std::to_string(status.st_uid) +
                    "; move it away");
    }
    UniqueFd jobs(fcntl(store.jobs_.get(), F_DUPFD_CLOEXEC, 0));
    if (!jobs) return fail(why(state_folder + "/jobs"));
    POSTERN_TRY(store.files_, RecordFiles::open(std::move(jobs), store.state_folder_ + "/jobs",
                                                runtime_folder, notice));
    store.retention_ = retention;
    store.notice_ = std::move(notice);
    return store;
}

Result<UniqueFd> RecordStore::make_folder(const JobId& job) const {
    POSTERN_TRY(files_->has_room());
    if (mkdirat(jobs_.get(), job.text().c_str(), 0700) < 0) {
        return fail(why(state_folder_ + "/jobs/" + job.text()));
    }
    UniqueFd folder = open_folder(job);
    if (!folder || fchmod(folder.get(), 0700) < 0) {
        const Unexpected<Error> failure = fail(why(state_folder_ + "/jobs/" + job.text()));
        remove(job);
        return failure;
    }
    return folder;
}

UniqueFd RecordStore::open_folder(const JobId& job) const {
    return UniqueFd(
        openat(jobs_.get(), job.text().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

Status RecordStore::write(const Record& record) const {
    return files_->write(record.job, to_json(record), false);
}

Status RecordStore::write_last(const Record& record) {
    Status written = files_->write(record.job, to_json(record), true);
    keep(record);
    return written;
}

std::uint64_t RecordStore::output_bytes(const JobId& job) const {
    constexpr std::uint64_t block = 512;  // of st_blocks (stat(3type)); holes take none
    std::uint64_t bytes = 0;
    for (const char* name : {"/stdout", "/stderr"}) {
        struct stat status{};
        if (fstatat(jobs_.get(), (job.text() + name).c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
            bytes += static_cast<std::uint64_t>(status.st_blocks) * block;
        }
    }
    return bytes;
}

// Where the clock was set back meanwhile, nothing is young that it does not know to be so.
bool RecordStore::is_young(Time ended) const {
    const auto age = now_() - ended;
    return age >= age.zero() && age < limits::key_memory;
}

// What a key asks for: how its job ended. The output files keep their sizes, so that readers hear
// how much they miss.
void RecordStore::reduce(const JobId& job) const {
    const UniqueFd folder = open_folder(job);
    for (const char* name : {"stdout", "stderr"}) {
        const UniqueFd file(openat(folder.get(), name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
        struct stat status{};
        // Frees what is reserved beyond the end as well, on every file system.
        if (!file || fstat(file.get(), &status) < 0 || ftruncate(file.get(), 0) < 0) continue;
        if (ftruncate(file.get(), status.st_size) < 0) continue;  // it reads as empty
    }
    std::optional<Record> record = read(job);
    if (!record || !record->requester.call || record->arguments.empty()) return;
    record->arguments.clear();
    // Where it fails the record is as large as it was.
    static_cast<void>(write(*record));
}

void RecordStore::evict(const Age& age) {
    const Over& over = over_.at(age);
    OfPayer& of_payer = over_of_payer_.at(over.payer);
    const auto found = of_payer.output_bytes.find(age);
    of_payer.total_bytes -= found->second;
    of_payer.output_bytes.erase(found);
    ++of_payer.keys;
    keys_.insert(age);
    if (over.has_key && is_young(age.first)) {
        reduce(age.second);
    } else {
        forget(age);
    }
}

void RecordStore::forget(const Age& age) {
    const auto over = over_.find(age);
    remove(age.second);
    in_memory_.erase(age.second);
    const auto of_payer = over_of_payer_.find(over->second.payer);
    if (--of_payer->second.keys == 0 && of_payer->second.output_bytes.empty()) {
        over_of_payer_.erase(of_payer);
    }
    const auto [first, last] = by_key_.equal_range(over->second.owner);
    const auto keyed =
        std::find_if(first, last, [&](const auto& entry) { return entry.second == age.second; });
    if (keyed != last) by_key_.erase(keyed);
    keys_.erase(age);
    over_.erase(over);
}

void RecordStore::forget_old_keys() {
    while (!keys_.empty() && !is_young(keys_.begin()->first)) forget(Age(*keys_.begin()));
}

bool RecordStore::has_room_for_key(uid_t payer) {
    forget_old_keys();
    const auto found = over_of_payer_.find(payer);
    const std::size_t own = found == over_of_payer_.end() ? 0 : found->second.keys;
    return own < limits::keys_of_everybody ||
           (own < retention_.records_per_payer * limits::keys_per_record &&
            keys_.size() < retention_.records * limits::keys_per_record);
}

void RecordStore::keep(const Record& record) {
    forget_old_keys();
    const Age age(record.result.ended, record.job);
    const uid_t payer = record.requester.payer();
    const std::uint64_t bytes = output_bytes(record.job);
    OfPayer& own = over_of_payer_[payer];
    // A key whose job never began is free.
    const bool has_key = !record.requester.key.empty() && !record.again;
    over_.emplace(age, Over{owner_of(record.requester), payer, has_key});
    in_memory_.insert_or_assign(record.job, for_memory(record));
    remember_key(record);
    own.output_bytes.emplace(age, bytes);
    own.total_bytes += bytes;
    while (own.output_bytes.size() > 1 && (own.output_bytes.size() > retention_.records_per_payer ||
                                           own.total_bytes > retention_.output_bytes_per_payer)) {
        evict(Age(own.output_bytes.begin()->first));
    }
    if (over_.size() - keys_.size() <= retention_.records) return;
    // Of who has most; of several, the one whose oldest is oldest.
    const auto fewer = [](const auto& one, const auto& other) {
        const auto& ones = one.second.output_bytes;
        const auto& others = other.second.output_bytes;
        if (ones.size() != others.size()) return ones.size() < others.size();
        return !ones.empty() && others.begin()->first < ones.begin()->first;
    };
    const auto most = std::ranges::max_element(over_of_payer_, fewer);
    evict(Age(most->second.output_bytes.begin()->first));
}

void RecordStore::set_aside(const JobId& job, const std::string& reason) const {
    const UniqueFd folder = open_folder(job);
    const bool renamed =
        folder && renameat(folder.get(), record_name, folder.get(), bad_record_name) == 0;
    if (!notice_) return;
    notice_("record " + state_folder_ + "/jobs/" + job.text() + "/" + record_name +
            " is not believed: " + reason +
            (renamed ? std::string("; it is now ") + bad_record_name : "") +
            "; look at it, then remove its folder");
}

std::optional<Record> RecordStore::read(const JobId& job) const {
    const auto text = files_->read(job);
    if (!text) return std::nullopt;
    Result<Record> record = from_json(*text);
    if (!record || record->job != job) return std::nullopt;
    return std::move(*record);
}

const Record* RecordStore::find(const JobId& job) const {
    const auto found = in_memory_.find(job);
    return found == in_memory_.end() ? nullptr : &found->second;
}

std::vector<JobId> RecordStore::find_key(const Requester& who) const {
    std::vector<JobId> jobs;
    const auto [first, last] = by_key_.equal_range(owner_of(who));
    for (auto entry = first; entry != last; ++entry) jobs.push_back(entry->second);
    return jobs;
}

void RecordStore::remember_key(const Record& record) {
    if (!record.requester.key.empty()) by_key_.emplace(owner_of(record.requester), record.job);
}

std::vector<Record> RecordStore::load() {
    std::vector<Record> unfinished;
    for (const JobId& job : files_->jobs()) {
        const auto text = files_->read(job);
        if (!text && text.error() == ENOENT) {
            const UniqueFd folder = open_folder(job);
            // The guard died before it wrote the record, and so before anything started.
            if (folder && faccessat(folder.get(), bad_record_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
                remove(job);
            }
            continue;
        }
        if (!text) {
            set_aside(job, std::strerror(text.error()));
            continue;
        }
        const Result<Record> record = from_json(*text);
        if (!record || record->job != job) {
            set_aside(job, record ? "it is another job's" : record.error().message);
        } else if (is_over(record->state)) {
            keep(*record);
        } else {
            unfinished.push_back(*record);
        }
    }
    return unfinished;
}

}  // namespace postern::jobs
