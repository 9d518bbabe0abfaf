#include "host/safe_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/utf8.h"

namespace postern {
namespace {

constexpr int max_links = 40;  // as many as the kernel follows (path_resolution(7))
constexpr mode_t writable_by_others = S_IWGRP | S_IWOTH;

// open(2) and its kin are interrupted only on slow file systems.
int open_at(int folder, const char* name, int flags) {
    int fd = -1;
    do {
        fd = openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

std::string owner_and_mode(const struct stat& status) {
    constexpr std::string_view digits = "01234567";
    std::string mode = "0";
    for (const unsigned shift : {6U, 3U, 0U}) mode += digits[(status.st_mode >> shift) & 7U];
    if ((status.st_mode & (S_ISUID | S_ISGID | S_ISVTX)) != 0) {
        mode.insert(1, 1, digits[(status.st_mode >> 9U) & 7U]);
    }
    return "owned by uid " + std::to_string(status.st_uid) + ", mode " + mode;
}

bool may_be_executed(const struct stat& status) {
    return S_ISREG(status.st_mode) && (status.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0;
}

// The path may come from a file or a link that an administrator did not write with care.
Unexpected<OpenError> refuse(OpenError::Kind kind, const std::string& path,
                             const std::string& problem) {
    return Unexpected(OpenError{kind, printable(path + ' ' + problem), printable(problem)});
}

Unexpected<OpenError> unsafe(const std::string& path, const std::string& problem) {
    return refuse(OpenError::Kind::unsafe, path, problem);
}

Unexpected<OpenError> failed(const std::string& path, int error) {
    if (error == ENOENT) {
        return refuse(OpenError::Kind::missing, path,
                      "does not exist; create it or correct the path");
    }
    return refuse(OpenError::Kind::failed, path,
                  "can't be opened: " + std::generic_category().message(error));
}

class Judge {
  public:
    explicit Judge(uid_t owner) : owner_(owner) {}

    [[nodiscard]] bool trusts(uid_t uid) const { return uid == 0 || uid == owner_; }

    [[nodiscard]] std::optional<std::string> owner_problem(const std::string& path,
                                                           const struct stat& status) const {
        if (trusts(status.st_uid)) return std::nullopt;
        const std::string wanted = owner_ == 0 ? "root" : "root or uid " + std::to_string(owner_);
        return "is not owned by " + wanted + " (" + owner_and_mode(status) + "); run: chown -h " +
               (owner_ == 0 ? "root" : std::to_string(owner_)) + " " + path;
    }

    [[nodiscard]] std::optional<std::string> problem(const std::string& path,
                                                     const struct stat& status) const {
        if (std::optional<std::string> owner = owner_problem(path, status)) return owner;
        if ((status.st_mode & writable_by_others) != 0) {
            // One like /tmp is meant to be so.
            const bool is_shared = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
            return "can be written by users other than its owner (" + owner_and_mode(status) +
                   "); " +
                   (is_shared ? "use a directory that nobody else can write to"
                              : "run: chmod go-w " + path);
        }
        return std::nullopt;
    }

    // A folder that does not itself hold the file.
    [[nodiscard]] std::optional<std::string> problem_above(const std::string& path,
                                                           const struct stat& status) const {
        if (trusts(status.st_uid) && (status.st_mode & S_ISVTX) != 0) return std::nullopt;
        return problem(path, status);
    }

    [[nodiscard]] std::optional<std::string> file_problem(const std::string& path,
                                                          const struct stat& status,
                                                          Use use) const {
        if (S_ISDIR(status.st_mode)) return "is a directory; a regular file is needed";
        if (!S_ISREG(status.st_mode)) {
            return "is not a regular file; put a regular file there";
        }
        if (std::optional<std::string> found = problem(path, status)) return found;
        if (use == Use::execute && !may_be_executed(status)) {
            return "is not executable (" + owner_and_mode(status) + "); run: chmod +x " + path;
        }
        return std::nullopt;
    }

  private:
    uid_t owner_;
};

Result<std::string, OpenError> link_target(int link, const std::string& path) {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = readlinkat(link, "", target.data(), target.size());
    if (size < 0) return failed(path, errno);
    if (static_cast<std::size_t>(size) == target.size()) return failed(path, ENAMETOOLONG);
    return std::string(target.data(), static_cast<std::size_t>(size));
}

// Walks a path from the root, one component at a time, and judges each.
class Walk {
  public:
    enum class To : std::uint8_t { file, folder };

    Walk(uid_t owner, To to) : judge_(owner), to_(to) {}

    // What the path names: an O_PATH descriptor. Folders on the way are judged, itself is not.
    Result<UniqueFd, OpenError> go(const std::string& path) {
        if (path.empty() || path.front() != '/') {
            return unsafe(path, "is not an absolute path; start it with /");
        }
        if (path.find('\0') != std::string::npos)
            return unsafe("the path", "contains a NUL byte; remove it");
        push(path);
        POSTERN_TRY(enter_root());
        while (!rest_.empty()) {
            const std::string name = std::move(rest_.front());
            rest_.pop_front();
            if (auto stepped = step(name); !stepped) return Unexpected(std::move(stepped).error());
        }
        if (must_be_folder_ && !S_ISDIR(status_.st_mode)) return failed(path_, ENOTDIR);
        return std::move(at_);
    }

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const struct stat& status() const { return status_; }
    // Whether the last component was a link.
    [[nodiscard]] bool was_led() const { return was_led_; }
    // Of the folder that holds it, and its name there: to open it again for reading.
    [[nodiscard]] int folder() const { return folder_.get(); }
    [[nodiscard]] const std::string& name() const { return name_; }

  private:
    // Puts the components of a path in front of those still to go.
    void push(std::string_view path) {
        std::deque<std::string> parts;
        while (!path.empty()) {
            const std::size_t slash = path.find('/');
            const std::string_view part = path.substr(0, slash);
            if (!part.empty() && part != ".") parts.emplace_back(part);
            path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
        }
        rest_.insert(rest_.begin(), parts.begin(), parts.end());
    }

    Result<void, OpenError> enter_root() {
        folder_.reset();
        at_.reset(open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
        path_ = "/";
        name_.clear();
        if (!at_ || fstat(at_.get(), &status_) != 0) return failed(path_, errno);
        return {};
    }

    Result<void, OpenError> step(const std::string& name) {
        // What we are in holds either the file itself (strict) or only a folder on the way.
        if (!S_ISDIR(status_.st_mode)) return failed(path_, ENOTDIR);
        const bool last = rest_.empty();
        if (const auto problem = last && to_ != To::folder ? judge_.problem(path_, status_)
                                                           : judge_.problem_above(path_, status_)) {
            return unsafe(path_, *problem);
        }
        const std::string next_path = path_ == "/" ? path_ + name : path_ + '/' + name;
        UniqueFd next(open_at(at_.get(), name.c_str(), O_PATH));
        if (!next) return not_opened(next_path, errno);
        struct stat status{};
        if (fstat(next.get(), &status) != 0) return failed(next_path, errno);
        if (S_ISLNK(status.st_mode)) return follow(next.get(), next_path, status, last);
        folder_ = std::move(at_);
        at_ = std::move(next);
        name_ = name;
        path_ = name == ".." ? parent(path_) : next_path;
        status_ = status;
        return {};
    }

    // Also where only a directory on the way is missing.
    [[nodiscard]] Unexpected<OpenError> not_opened(const std::string& path, int error) const {
        OpenError result = failed(path, error).error();
        if (const auto problem = judge_.problem(path_, status_); error == ENOENT && problem) {
            result.others_could_create = printable(path_ + ' ' + *problem);
        }
        return Unexpected(std::move(result));
    }

    Result<void, OpenError> follow(int link, const std::string& path, const struct stat& status,
                                   bool last) {
        was_led_ = was_led_ || last;
        if (++links_ > max_links) return failed(path, ELOOP);
        if (const auto problem = judge_.owner_problem(path, status)) {
            return unsafe(path, *problem);
        }
        POSTERN_TRY(auto target, link_target(link, path));
        must_be_folder_ = must_be_folder_ || (last && target.ends_with('/'));
        push(target);
        if (target.starts_with('/')) return enter_root();
        return {};
    }

    // For messages only; path_ holds no link, since each was followed.
    static std::string parent(const std::string& path) {
        const std::size_t slash = path.rfind('/');
        return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
    }

    Judge judge_;
    To to_;
    int links_ = 0;
    bool was_led_ = false;
    bool must_be_folder_ = false;  // for the kernel: a link says "file/"
    std::deque<std::string> rest_;
    UniqueFd folder_;
    UniqueFd at_;
    std::string path_;
    std::string name_;
    struct stat status_{};
};

// Opens for reading what has been found to be a regular file, and judges what is open then.
Result<UniqueFd, OpenError> open_for_reading(int folder, const std::string& name,
                                             const std::string& path, uid_t owner) {
    // Non-blocking and without a controlling terminal, should it have been replaced meanwhile.
    UniqueFd file(open_at(folder, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY));
    struct stat status{};
    if (!file || fstat(file.get(), &status) != 0) return failed(path, errno);
    if (const auto problem = Judge(owner).file_problem(path, status, Use::read)) {
        return unsafe(path, *problem);
    }
    return file;
}

// The error of what a link leads to becomes one of the link at `path`.
Unexpected<OpenError> behind_link(const std::string& path, const OpenError& error) {
    std::string problem = "is a symbolic link, and ";
    const std::string otherwise = ", or run: rm " + path;
    switch (error.kind) {
        case OpenError::Kind::unsafe:
            return unsafe(path, problem + error.message);
        case OpenError::Kind::missing:
            // The component that is missing, and the space behind it.
            problem += error.message.substr(0, error.message.size() - error.problem.size());
            problem += "does not exist; create it" + otherwise;
            break;
        case OpenError::Kind::failed:
            problem += error.message + "; correct the link" + otherwise;
            break;
    }
    return refuse(OpenError::Kind::failed, path, problem);
}

// A character device of Linux (devices.txt).
bool is_null_device(const struct stat& status) {
    return S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

// By its absolute path, from the root on. An empty descriptor: a link led to /dev/null.
Result<UniqueFd, OpenError> walk_and_open(const std::string& path, uid_t owner) {
    Walk walk(owner, Walk::To::file);
    const auto open = [&]() -> Result<UniqueFd, OpenError> {
        POSTERN_TRY(const UniqueFd found, walk.go(path));
        if (walk.was_led() && is_null_device(walk.status())) return UniqueFd();
        if (const auto problem = Judge(owner).file_problem(walk.path(), walk.status(), Use::read)) {
            return unsafe(walk.path(), *problem);
        }
        return open_for_reading(walk.folder(), walk.name(), walk.path(), owner);
    };
    Result<UniqueFd, OpenError> opened = open();
    if (!opened && walk.was_led()) return behind_link(path, opened.error());
    return opened;
}

// Not the time of status change (ctime): renaming another file over this one changes it, and what
// is open stays whole.
bool same_content(const struct stat& a, const struct stat& b) {
    return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
           a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

Result<UniqueFd, OpenError> open_safe(const std::string& path, uid_t owner, Use use) {
    if (use == Use::read) {
        Result<UniqueFd, OpenError> opened = walk_and_open(path, owner);
        if (opened && !*opened) return unsafe(path, "leads to /dev/null; put a regular file there");
        return opened;
    }
    Walk walk(owner, Walk::To::file);
    Result<UniqueFd, OpenError> found = walk.go(path);
    if (!found) return found;
    if (const auto problem = Judge(owner).file_problem(walk.path(), walk.status(), use)) {
        OpenError error = unsafe(walk.path(), *problem).error();
        if (use == Use::execute && !may_be_executed(walk.status())) {
            error.told = "it is not executable";
        }
        return Unexpected(std::move(error));
    }
    return found;
}

Result<UniqueFd, OpenError> open_safe_folder(const std::string& path, uid_t owner) {
    Walk walk(owner, Walk::To::folder);
    Result<UniqueFd, OpenError> found = walk.go(path);
    if (!found) return found;
    if (!S_ISDIR(walk.status().st_mode)) return failed(walk.path(), ENOTDIR);
    if (const auto problem = Judge(owner).problem(walk.path(), walk.status())) {
        return unsafe(walk.path(), *problem);
    }
    UniqueFd folder(open_at(found->get(), ".", O_RDONLY | O_DIRECTORY));
    if (!folder) return failed(walk.path(), errno);
    return folder;
}

Result<void, OpenError> check_safe_place(const std::string& path, uid_t owner) {
    Walk walk(owner, Walk::To::folder);
    POSTERN_TRY(walk.go(path));
    if (!S_ISDIR(walk.status().st_mode)) return failed(walk.path(), ENOTDIR);
    if (const auto problem = Judge(owner).problem_above(walk.path(), walk.status())) {
        return unsafe(walk.path(), *problem);
    }
    return {};
}

Result<UniqueFd, OpenError> open_safe_in(int folder, const std::string& name,
                                         const std::string& path, uid_t owner) {
    // By O_PATH first: opening a device can have effects.
    const UniqueFd found(open_at(folder, name.c_str(), O_PATH));
    struct stat status{};
    if (!found || fstat(found.get(), &status) != 0) return failed(path, errno);
    if (!S_ISLNK(status.st_mode)) {
        if (const auto problem = Judge(owner).file_problem(path, status, Use::read)) {
            return unsafe(path, *problem);
        }
        return open_for_reading(folder, name, path, owner);
    }
    Result<UniqueFd, OpenError> opened = walk_and_open(path, owner);
    // Who moves a link from one directory to the next (Kubernetes' ConfigMaps) then removes the
    // first, where we may just have been going to.
    for (int again = 0; again < 2 && !opened && opened.error().kind == OpenError::Kind::failed;
         ++again) {
        opened = walk_and_open(path, owner);
    }
    return opened;
}

Result<std::string> read_unchanged(int file, std::size_t limit) {
    struct stat before{};
    if (fstat(file, &before) != 0) {
        return fail("can't be read: " + std::generic_category().message(errno));
    }
    std::string text;
    std::array<char, 16384> buffer{};
    while (true) {
        const ssize_t got = read(file, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail("can't be read: " + std::generic_category().message(errno));
        if (got == 0) break;
        text.append(buffer.data(), static_cast<std::size_t>(got));
        if (text.size() > limit) {
            return fail("is longer than " + std::to_string(limit) + " bytes; make it shorter");
        }
    }
    struct stat after{};
    if (fstat(file, &after) != 0 || !same_content(before, after) ||
        static_cast<std::uintmax_t>(after.st_size) != text.size()) {
        return fail("changed while it was being read; reload once it is completely written");
    }
    return text;
}

}  // namespace postern
