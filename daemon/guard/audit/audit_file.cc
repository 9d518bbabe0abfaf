#include "daemon/guard/audit/audit_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/unique_fd.h"
#include "base/utf8.h"
#include "host/same_file.h"

namespace postern {
namespace {

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// Of what is no regular file.
std::string not_regular(mode_t mode) {
    const char* what = S_ISLNK(mode)    ? "a symbolic link"
                       : S_ISDIR(mode)  ? "a directory"
                       : S_ISFIFO(mode) ? "a FIFO"
                       : S_ISSOCK(mode) ? "a socket"
                                        : "a device";
    return std::string("it is ") + what +
           ", not a regular file; remove it, or give the path of a file";
}

// Why it could not be opened, and what to do.
std::string why_not_opened(const std::string& path, int error) {
    struct stat there{};
    const bool exists = ::lstat(path.c_str(), &there) == 0;
    if (exists && !S_ISREG(there.st_mode)) return not_regular(there.st_mode);
    std::string reason = std::strerror(error);
    const std::string folder = printable(folder_of(path));
    switch (error) {
        case ENOENT:
            return reason + "; make its directory: mkdir -p -m 0700 " + folder;
        case EROFS:
            return reason +
                   "; the unit of the daemon lets it write only to /var/log/postern "
                   "(ProtectSystem=strict, LogsDirectory=postern): give a path there, or add "
                   "ReadWritePaths=" +
                   folder + " (systemctl edit posternd.service)";
        case ENOSPC:
        case EDQUOT:
            return reason + "; make room on that file system";
        case EACCES:
        case EPERM:
            return reason + "; uid " + std::to_string(::geteuid()) + " must be able to write to " +
                   folder;
        default:
            return reason;
    }
}

Result<UniqueFd> open_file(const std::string& path) {
    UniqueFd file(::open(
        path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!file) return fail(why_not_opened(path, errno));
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) return fail(std::strerror(errno));
    if (!S_ISREG(status.st_mode)) return fail(not_regular(status.st_mode));
    if (status.st_uid != ::geteuid()) {
        return fail("it is owned by uid " + std::to_string(status.st_uid) + "; run: chown " +
                    std::to_string(::geteuid()) + " " + printable(path));
    }
    // Who may rename in that directory could else have records appended to any file of ours.
    if (status.st_nlink > 1) {
        return fail("it has " + std::to_string(status.st_nlink) +
                    " names (hard links); move it away, a new one is made");
    }
    if ((status.st_mode & 07777) != 0600 && ::fchmod(file.get(), 0600) != 0) {
        return fail(std::string("its mode can't be made 0600: ") + std::strerror(errno));
    }
    return file;
}

class FileSink final : public AuditSink {
  public:
    FileSink(std::string path, UniqueFd file, AuditNotice notice)
        : path_(std::move(path)),
          file_(std::move(file)),
          number_(number_of(file_.get()).value_or(FileNumber{})),
          notice_(std::move(notice)) {}

    bool write(const std::string& line, const AuditFields& /*fields*/,
               AuditRoom /*room*/) override {
        if (!is_at_its_path() && !open_again()) return false;
        const std::string text = (half_line_ ? "\n" : "") + line + '\n';
        ssize_t count = 0;
        do {
            count = ::write(file_.get(), text.data(), text.size());
        } while (count < 0 && errno == EINTR);
        if (count == static_cast<ssize_t>(text.size())) {
            half_line_ = false;
            set_problem("");
            return true;
        }
        // The rest of a line that was cut found no room (write(2)).
        const int error = count < 0 ? errno : ENOSPC;
        if (count > 0) take_back(count);
        set_problem(why_not_opened(path_, error));
        return false;
    }

    Status ready() override {
        if (!is_at_its_path()) (void)open_again();
        if (problem_.empty()) return {};
        return fail(name_of_file() + problem_);
    }

    [[nodiscard]] const char* name() const override { return "file"; }

  private:
    [[nodiscard]] std::string name_of_file() const {
        return "audit file " + printable(path_) + ": ";
    }

    [[nodiscard]] bool is_at_its_path() const { return lies_at(number_, path_); }

    bool open_again() {
        auto fresh = open_file(path_);
        if (!fresh) {
            set_problem("it was removed, renamed or replaced: " + fresh.error().message);
            return false;
        }
        file_ = std::move(*fresh);
        number_ = number_of(file_.get()).value_or(FileNumber{});
        half_line_ = false;
        notify(name_of_file() + "the one before was removed, renamed or replaced: opened again",
               false);
        set_problem("");
        return true;
    }

    // The disk is full and half a line is written: remove it, so that every line is a whole record.
    // Where even that fails, the next record ends the half line first.
    void take_back(ssize_t count) {
        struct stat status{};
        half_line_ = ::fstat(file_.get(), &status) != 0 || status.st_size < count ||
                     ::ftruncate(file_.get(), status.st_size - count) != 0;
    }

    void set_problem(std::string problem) {
        if (problem == problem_) return;
        problem_ = std::move(problem);
        if (problem_.empty()) {
            notify(name_of_file() + "it is written again", false);
        } else {
            notify(name_of_file() + problem_ + "; no job is started until it can be written", true);
        }
    }
    void notify(const std::string& message, bool trouble) const {
        if (notice_) notice_(message, trouble);
    }

    std::string path_;
    bool half_line_ = false;
    UniqueFd file_;
    FileNumber number_;
    std::string problem_;  // why it can't be written; empty: it can
    AuditNotice notice_;
};

}  // namespace

Result<std::unique_ptr<AuditSink>> open_audit_file(const std::string& path, AuditNotice notice) {
    auto file = open_file(path);
    if (!file) return fail("audit file " + printable(path) + ": " + file.error().message);
    return std::unique_ptr<AuditSink>(
        std::make_unique<FileSink>(path, std::move(*file), std::move(notice)));
}

}  // namespace postern
