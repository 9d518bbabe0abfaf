#include "daemon/jobs/record/record_files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/io.h"
#include "base/limits.h"
#include "daemon/jobs/record/disk_room.h"
#include "daemon/jobs/record/job_folder.h"
#include "daemon/jobs/record/record.h"
#include "daemon/jobs/record/record_thread.h"
#include "host/directory.h"
#include "host/safe_file.h"

namespace postern::jobs {
namespace {

constexpr std::size_t largest_record_bytes = std::size_t{1024} * 1024;
// How long the end of the guard waits for the disk.
constexpr std::chrono::seconds drain_patience{5};

std::string failed(const std::string& what) {
    return what + ": " + std::strerror(errno);
}

Directory open_directory(int folder) {
    UniqueFd copy(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Directory open(copy ? fdopendir(copy.get()) : nullptr);
    if (open) static_cast<void>(copy.release());
    return open;
}

}  // namespace

// ---- What the loop asks for ----

RecordFiles::RecordFiles(std::shared_ptr<RecordThread> state, Notice notice)
    : state_(std::move(state)), notice_(std::move(notice)) {}

Result<std::unique_ptr<RecordFiles>> RecordFiles::open(UniqueFd jobs, const std::string& jobs_path,
                                                       const std::string& runtime, Notice notice) {
    auto state = std::make_shared<RecordThread>();
    state->jobs = std::move(jobs);
    state->jobs_path = jobs_path;
    std::unique_ptr<RecordFiles> files(new RecordFiles(std::move(state), std::move(notice)));
    files->state_->news.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!files->state_->news) return fail(failed("eventfd"));
    if (!runtime.empty()) POSTERN_TRY(files->open_runtime(runtime));
    try {
        files->thread_ = std::thread([state = files->state_] { state->run(); });
    } catch (const std::system_error& error) {
        return fail(std::string("records: no thread: ") + error.what());
    }
    return files;
}

Status RecordFiles::open_runtime(const std::string& runtime) {
    RecordThread& state = *state_;
    const std::string what = "runtime directory " + runtime;
    auto folder = open_safe_folder(runtime, geteuid());
    if (!folder && folder.error().kind == OpenError::Kind::unsafe) {
        return fail(what + ": " + folder.error().message);
    }
    if (!folder) {
        notice(what + ": " + folder.error().message +
               "; until the daemon is restarted records are "
               "written to " +
               state.jobs_path + " at once, and starts of jobs may wait for the disk");
        return {};
    }
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
    state.runtime = std::move(*folder);
    take_up();
    return {};
}

// What a guard before had not copied yet when it died.
void RecordFiles::take_up() {
    RecordThread& state = *state_;
    const Directory folder = open_directory(state.runtime.get());
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
        const std::string name(static_cast<const char*>(entry->d_name));
        const JobId job(name.substr(0, name.find('.')));
        if (!JobKey::of(job.text())) continue;
        if (name != original_name(job)) {  // what it was about to write
            unlinkat(state.runtime.get(), name.c_str(), 0);
            continue;
        }
        const std::string path = state.runtime_path + "/" + name;
        const auto text = read_file(path, largest_record_bytes);
        const Result<Record> record =
            text ? from_json(*text) : Result<Record>(fail(std::strerror(text.error())));
        const auto on_disk =
            read_file(state.folder_of(job) + "/" + record_name, largest_record_bytes);
        const Result<Record> copy = on_disk ? from_json(*on_disk) : Result<Record>(fail(""));
        std::string reason;
        if (!record || record->job != job) {
            reason = record ? "it is another job's" : record.error().message;
        } else if (!open_job_folder(state.jobs.get(), job)) {
            reason = failed(state.folder_of(job));
        } else if (!copy || !is_over(copy->state)) {
            state.ask(std::unique_lock(state.mutex), job,
                      {.text = *text, .last = is_over(record->state)});
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
    RecordThread& state = *state_;
    std::size_t left = 0;
    bool ended = false;
    {
        std::unique_lock lock(state.mutex);
        state.stopping = true;
        state.changed.notify_all();
        ended = state.changed.wait_for(lock, drain_patience, [&] { return state.ended; });
        left = state.left.size() + (state.at_work ? 1 : 0);
        // What was to be removed is found again by the next guard.
        if (!state.runtime) left = 0;
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

// The number of the descriptor stays, so that the thread may be in the middle of its work.
Result<void, int> RecordFiles::move_to(int jobs) {
    if (dup3(jobs, state_->jobs.get(), O_CLOEXEC) < 0) return Unexpected(errno);
    return {};
}

std::vector<JobKey> RecordFiles::jobs() const {
    std::vector<JobKey> found;
    const Directory folder = open_directory(state_->jobs.get());
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
        const std::string_view name(static_cast<const char*>(entry->d_name));
        if (const auto job = JobKey::of(name)) found.push_back(*job);
    }
    return found;
}

Result<std::string, int> RecordFiles::read(const JobId& job) const {
    // The name comes from a caller: nothing else is a path.
    if (!JobKey::of(job.text())) return Unexpected(ENOENT);
    if (state_->runtime) {
        auto original = read_file(
            "/proc/self/fd/" + std::to_string(state_->runtime.get()) + "/" + original_name(job),
            largest_record_bytes);
        // It goes when its copy is there.
        if (original || original.error() != ENOENT) return original;
    }
    return read_file(state_->folder_of(job) + "/" + record_name, largest_record_bytes);
}

Status RecordFiles::keeps_up() const {
    const RecordThread& state = *state_;
    const std::lock_guard lock(state_->mutex);
    if (state.bytes <= limits::uncopied_record_bytes) return {};
    return fail("too many records wait to be copied to " + state.jobs_path + ": " +
                (state.problem.empty() ? "the disk is too slow" : state.problem));
}

Status RecordFiles::write(const JobId& job, std::string text, Step step) {
    RecordThread& state = *state_;
    const bool last = step == Step::last;
    if (state.runtime) {
        std::unique_lock lock(state.mutex);
        const int error = state.write_original(job, text);
        state.note_original(error == 0 ? ""
                                       : state.runtime_path + "/" + original_name(job) +
                                             " can't be written: " + std::strerror(error));
        // Where the thread is about to write the one before, it is to write this one after it.
        if (error == 0 || state.left.contains(job) || state.at_work == job) {
            const bool may_wait = step == Step::between && error == 0;
            state.ask(std::move(lock), job,
                      {.text = std::move(text), .last = last, .may_wait = may_wait});
            return {};
        }
    }
    if (const int error = put_record(state.jobs.get(), job, text, last, false); error != 0) {
        const std::lock_guard lock(state.mutex);
        state.wanted_room = state.wanted_room || is_want_of_room(error);
        return fail(state.folder_of(job) + "/" + record_name + ": " + std::strerror(error));
    }
    return {};
}

void RecordFiles::reduce(const JobId& job, std::string text) {
    RecordThread& state = *state_;
    std::unique_lock lock(state.mutex);
    // Where it fails the whole one stays there until the thread has come to it.
    if (state.runtime && !text.empty()) static_cast<void>(state.write_original(job, text));
    // Who reads it on the disk, where it is nowhere else, is never to find half of it.
    const bool last = static_cast<bool>(state.runtime);
    state.ask(std::move(lock), job, {.text = std::move(text), .last = last, .empties = true});
}

void RecordFiles::remove(const JobId& job) {
    RecordThread& state = *state_;
    std::unique_lock lock(state.mutex);
    if (state.runtime) state.remove_original(job);
    state.ask(std::move(lock), job, {.text = {}, .removes = true});
}

bool RecordFiles::frees() const {
    const std::lock_guard lock(state_->mutex);
    return state_->to_free > 0;
}

bool RecordFiles::wanted_room() {
    const std::lock_guard lock(state_->mutex);
    return std::exchange(state_->wanted_room, false);
}

void RecordFiles::look_for_room() {
    std::unique_lock lock(state_->mutex);
    state_->looks_for_room = true;
    state_->wake_by(RecordThread::Clock::now(), std::move(lock));
}

bool RecordFiles::found_room() {
    const std::lock_guard lock(state_->mutex);
    return std::exchange(state_->found_room, false);
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
