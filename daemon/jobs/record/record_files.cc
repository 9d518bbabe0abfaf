#include "daemon/jobs/record/record_files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/io.h"
#include "base/limits.h"
#include "daemon/jobs/record/record.h"
#include "host/directory.h"
#include "host/random_id.h"
#include "host/safe_file.h"

namespace postern::jobs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* new_record_name = "record.json.new";
constexpr std::size_t record_bytes = std::size_t{1024} * 1024;
// What a record may take on the disk: its arguments are those of one message, escaped.
constexpr std::size_t record_room = std::size_t{128} * 1024;
// Until what could not be copied is tried again.
constexpr std::chrono::milliseconds copy_retry_interval{500};
// How long the end of the guard waits for the disk.
constexpr std::chrono::seconds drain_patience{5};

std::string failed(const std::string& what) {
    return what + ": " + std::strerror(errno);
}

bool is_job_id(std::string_view name) {
    return name.size() == random_id_length &&
           name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string original_name(const JobId& job) {
    return job.text() + ".json";
}

Directory open_directory(int folder) {
    UniqueFd copy(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Directory open(copy ? fdopendir(copy.get()) : nullptr);
    if (open) static_cast<void>(copy.release());
    return open;
}

UniqueFd open_job(int jobs, const JobId& job) {
    return UniqueFd(
        openat(jobs, job.text().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// In the place of the file before, whole. Synchronized, file and name are on the disk, and with
// them the folders above, which were made before (a journal or log is in order). 0 or errno.
int replace(int folder, const std::string& name, const std::string& new_name, std::string_view text,
            bool synchronize) {
    const UniqueFd file(openat(folder, new_name.c_str(),
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file || !write_all(file.get(), text) || (synchronize && fsync(file.get()) < 0) ||
        renameat(folder, new_name.c_str(), folder, name.c_str()) < 0) {
        const int error = errno;
        unlinkat(folder, new_name.c_str(), 0);
        return error;
    }
    return synchronize && fsync(folder) < 0 ? errno : 0;
}

bool put_over(int folder, std::string_view text, bool synchronize) {
    const UniqueFd file(openat(folder, record_name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    return file && write_all(file.get(), text) &&
           ftruncate(file.get(), static_cast<off_t>(text.size())) == 0 &&
           (!synchronize || fsync(file.get()) == 0);
}

// To the disk. 0 or errno.
int put(int jobs, const JobId& job, std::string_view text, bool last, bool synchronize) {
    const UniqueFd folder = open_job(jobs, job);
    if (!folder) return errno;
    const int error = replace(folder.get(), record_name, new_record_name, text, synchronize);
    return error != 0 && last && put_over(folder.get(), text, synchronize) ? 0 : error;
}

// 0 or errno.
int remove_folder(int jobs, const JobId& job) {
    const UniqueFd folder = open_job(jobs, job);
    if (!folder) return errno == ENOENT ? 0 : errno;
    for (const char* name : {"stdout", "stderr", new_record_name, bad_record_name, record_name}) {
        unlinkat(folder.get(), name, 0);
    }
    return unlinkat(jobs, job.text().c_str(), AT_REMOVEDIR) < 0 ? errno : 0;
}

}  // namespace

struct RecordFiles::State {
    struct Work {
        std::string text;
        bool last = false;
        bool removes = false;
    };

    UniqueFd jobs;
    std::string jobs_path;
    UniqueFd runtime;  // none: there is no thread, and records are written to the disk
    std::string runtime_path;
    UniqueFd news;  // eventfd(2): there are messages

    // Of all below, and of the files in the runtime directory.
    std::mutex mutex;
    std::condition_variable changed;
    std::map<JobId, Work> left;  // the newest of each job
    std::deque<JobId> order;     // of those in `left`
    std::set<JobId> failing;     // the others in `left`; while it is tried again also in `order`
    std::optional<JobId> at_work;
    std::size_t bytes = 0;    // of the texts that are not copied
    std::string problem;      // why: of one of those that fail
    std::string no_original;  // why the latest one could not be written
    std::vector<std::string> messages;
    bool stopping = false;
    bool ended = false;

    void run();
    void ask(const JobId& job, Work work);
    [[nodiscard]] int serve(const JobId& job, const Work& work) const;
    void finish(const JobId& job, Work work, int error);
    [[nodiscard]] int write_original(const JobId& job, const std::string& text) const;
    void remove_original(const JobId& job) const {
        unlinkat(runtime.get(), original_name(job).c_str(), 0);
    }
    [[nodiscard]] std::string folder_of(const JobId& job) const {
        return jobs_path + "/" + job.text();
    }
    void tell(std::string message);
    // What keeps it from being written, empty where nothing does.
    void note_original(const std::string& why);
};

void RecordFiles::State::tell(std::string message) {
    messages.push_back(std::move(message));
    const std::uint64_t one = 1;
    (void)!::write(news.get(), &one, sizeof one);
}

void RecordFiles::State::ask(const JobId& job, Work work) {
    const auto [entry, is_new] = left.try_emplace(job);
    bytes = bytes - entry->second.text.size() + work.text.size();
    entry->second = std::move(work);
    if (is_new) order.push_back(job);
    changed.notify_all();
}

int RecordFiles::State::serve(const JobId& job, const Work& work) const {
    if (work.removes) return remove_folder(jobs.get(), job);
    const int error = put(jobs.get(), job, work.text, work.last, true);
    return error == ENOENT && !open_job(jobs.get(), job) ? 0 : error;  // somebody has removed it
}

void RecordFiles::State::finish(const JobId& job, Work work, int error) {
    at_work.reset();
    if (work.removes) {
        // The next guard finds what stays.
        if (error != 0) tell(folder_of(job) + " can't be removed: " + std::strerror(error));
        error = 0;
    }
    const bool is_newest = !left.contains(job);
    if (error == 0) {
        bytes -= work.text.size();
        if (is_newest) remove_original(job);
        if (failing.erase(job) == 0 || !failing.empty()) return;
        problem.clear();
        tell("records are copied to " + jobs_path + " again");
        return;
    }
    problem = folder_of(job) + "/" + record_name + " can't be written: " + std::strerror(error);
    if (failing.empty()) {
        tell(problem + "; until it can, the record is kept in " + runtime_path +
             " alone, and is lost where the machine stops: make room, or look what is wrong with "
             "that file system");
    }
    failing.insert(job);
    if (is_newest) {
        left.emplace(job, std::move(work));
    } else {
        bytes -= work.text.size();
    }
}

void RecordFiles::State::run() {
    std::unique_lock lock(mutex);
    const auto is_due = [this] { return stopping || !order.empty(); };
    Clock::time_point retry_at;
    for (bool is_last_round = false;;) {
        if (order.empty() && !failing.empty() &&
            (stopping ? !is_last_round : Clock::now() >= retry_at)) {
            order.assign(failing.begin(), failing.end());
            is_last_round = stopping;
        }
        if (order.empty()) {
            if (stopping) break;
            if (failing.empty()) {
                changed.wait(lock, is_due);
            } else {
                changed.wait_until(lock, retry_at, is_due);
            }
            continue;
        }
        const JobId job = order.front();
        order.pop_front();
        Work work = std::move(left.extract(job).mapped());
        at_work = job;
        lock.unlock();
        const int error = serve(job, work);
        lock.lock();
        finish(job, std::move(work), error);
        if (error != 0) retry_at = Clock::now() + copy_retry_interval;
    }
    ended = true;
    changed.notify_all();
}

int RecordFiles::State::write_original(const JobId& job, const std::string& text) const {
    const std::string name = original_name(job);
    return replace(runtime.get(), name, name + ".new", text, false);
}

void RecordFiles::State::note_original(const std::string& why) {
    if (no_original.empty() && !why.empty()) {
        tell(why + "; records are written to " + jobs_path +
             " at once instead, and starts of jobs may wait for the disk: make room, or restart "
             "the daemon where the directory was removed");
    }
    no_original = why;
}

// ---- What the loop asks for ----

RecordFiles::RecordFiles(std::shared_ptr<State> state, Notice notice)
    : state_(std::move(state)), notice_(std::move(notice)) {}

Result<std::unique_ptr<RecordFiles>> RecordFiles::open(UniqueFd jobs, const std::string& jobs_path,
                                                       const std::string& runtime, Notice notice) {
    auto state = std::make_shared<State>();
    state->jobs = std::move(jobs);
    state->jobs_path = jobs_path;
    std::unique_ptr<RecordFiles> files(new RecordFiles(std::move(state), std::move(notice)));
    if (!runtime.empty()) POSTERN_TRY(files->open_runtime(runtime));
    return files;
}

Status RecordFiles::open_runtime(const std::string& runtime) {
    State& state = *state_;
    const std::string what = "runtime directory " + runtime;
    auto folder = open_safe_folder(runtime, geteuid());
    if (!folder) return fail(what + ": " + folder.error().message);
    struct statfs system{};
    if (fstatfs(folder->get(), &system) < 0) return fail(failed(what));
    if (system.f_type != TMPFS_MAGIC) {
        notice(what + " is not in memory (tmpfs): records are written to " + state.jobs_path +
               " at once, and starts of jobs may wait for the disk");
        return {};
    }
    if (flock(folder->get(), LOCK_EX | LOCK_NB) < 0) {
        return fail(what +
                    ": another daemon uses it; stop that one, or give its unit another "
                    "RuntimeDirectory=");
    }
    state.runtime_path = runtime;
    state.news.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!state.news) return fail(failed("eventfd"));
    state.runtime = std::move(*folder);
    take_up();
    try {
        thread_ = std::thread([state = state_] { state->run(); });
    } catch (const std::system_error& error) {
        return fail(std::string("records: no thread: ") + error.what());
    }
    return {};
}

// What a guard before had not copied yet when it died.
void RecordFiles::take_up() {
    State& state = *state_;
    const Directory folder = open_directory(state.runtime.get());
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
        const std::string name(static_cast<const char*>(entry->d_name));
        const JobId job(name.substr(0, name.find('.')));
        if (!is_job_id(job.text())) continue;
        if (name != original_name(job)) {  // what it was about to write
            unlinkat(state.runtime.get(), name.c_str(), 0);
            continue;
        }
        const std::string path = state.runtime_path + "/" + name;
        const auto text = read_file(path, record_bytes);
        const Result<Record> record =
            text ? from_json(*text) : Result<Record>(fail(std::strerror(text.error())));
        const auto on_disk = read_file(state.folder_of(job) + "/" + record_name, record_bytes);
        const Result<Record> copy = on_disk ? from_json(*on_disk) : Result<Record>(fail(""));
        std::string reason;
        if (!record || record->job != job) {
            reason = record ? "it is another job's" : record.error().message;
        } else if (!open_job(state.jobs.get(), job)) {
            reason = failed(state.folder_of(job));
        } else if (!copy || !is_over(copy->state)) {
            state.ask(job, {*text, is_over(record->state)});
            continue;
        }
        // Else a guard without this directory has seen how it ended.
        state.remove_original(job);
        if (reason.empty()) continue;
        notice(("record " + path).append(" is not believed and removed: ").append(reason));
    }
}

RecordFiles::~RecordFiles() {
    if (!thread_.joinable()) return;
    State& state = *state_;
    std::size_t left = 0;
    bool ended = false;
    {
        std::unique_lock lock(state.mutex);
        state.stopping = true;
        state.changed.notify_all();
        ended = state.changed.wait_for(lock, drain_patience, [&] { return state.ended; });
        left = state.left.size() + (state.at_work ? 1 : 0);
    }
    // A disk that stands still must not hold up the end for ever.
    ended ? thread_.join() : thread_.detach();
    tell_news();
    if (left == 0) return;
    notice(std::to_string(left) + " records could not be copied to " + state.jobs_path +
           "; they stay in " + state.runtime_path +
           ", where the next daemon finds them, and are lost where the machine stops before");
}

void RecordFiles::notice(const std::string& message) const {
    if (notice_) notice_(message);
}

std::vector<JobId> RecordFiles::jobs() const {
    std::vector<JobId> found;
    const Directory folder = open_directory(state_->jobs.get());
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
        const std::string_view name(static_cast<const char*>(entry->d_name));
        if (is_job_id(name)) found.emplace_back(std::string(name));
    }
    return found;
}

Result<std::string, int> RecordFiles::read(const JobId& job) const {
    // The name comes from a caller: nothing else is a path.
    if (!is_job_id(job.text())) return Unexpected(ENOENT);
    if (state_->runtime) {
        auto original = read_file(
            "/proc/self/fd/" + std::to_string(state_->runtime.get()) + "/" + original_name(job),
            record_bytes);
        // It goes when its copy is there.
        if (original || original.error() != ENOENT) return original;
    }
    return read_file(state_->folder_of(job) + "/" + record_name, record_bytes);
}

Status RecordFiles::has_room() const {
    State& state = *state_;
    if (!state.runtime) return {};
    {
        const std::lock_guard lock(state.mutex);
        if (state.bytes > limits::uncopied_record_bytes) {
            return fail("too many records wait to be copied to " + state.jobs_path + ": " +
                        (state.problem.empty() ? "the disk is too slow" : state.problem));
        }
    }
    struct statfs disk{};
    if (fstatfs(state.jobs.get(), &disk) == 0 &&
        disk.f_bfree * static_cast<std::uint64_t>(disk.f_bsize) < record_room) {
        return fail(state.jobs_path + ": " + std::strerror(ENOSPC));
    }
    return {};
}

Status RecordFiles::write(const JobId& job, std::string text, bool last) {
    State& state = *state_;
    if (state.runtime) {
        const std::lock_guard lock(state.mutex);
        const int error = state.write_original(job, text);
        state.note_original(error == 0 ? ""
                                       : state.runtime_path + "/" + original_name(job) +
                                             " can't be written: " + std::strerror(error));
        // Where the thread is about to write the one before, it is to write this one after it.
        if (error == 0 || state.left.contains(job) || state.at_work == job) {
            state.ask(job, {std::move(text), last});
            return {};
        }
    }
    if (const int error = put(state.jobs.get(), job, text, last, false); error != 0) {
        return fail(state.folder_of(job) + "/" + record_name + ": " + std::strerror(error));
    }
    return {};
}

void RecordFiles::remove(const JobId& job) {
    State& state = *state_;
    if (state.runtime) {
        const std::lock_guard lock(state.mutex);
        state.remove_original(job);
        return state.ask(job, {{}, false, true});
    }
    if (const int error = remove_folder(state.jobs.get(), job); error != 0) {
        notice(state.folder_of(job) + " can't be removed: " + std::strerror(error));
    }
}

int RecordFiles::news() const {
    return state_->news.get();
}

void RecordFiles::tell_news() {
    std::uint64_t count = 0;
    (void)!::read(state_->news.get(), &count, sizeof count);
    std::vector<std::string> messages;
    {
        const std::lock_guard lock(state_->mutex);
        messages.swap(state_->messages);
    }
    for (const std::string& message : messages) notice(message);
}

std::string RecordFiles::problem() const {
    const std::lock_guard lock(state_->mutex);
    return state_->problem.empty() ? state_->no_original : state_->problem;
}

}  // namespace postern::jobs
