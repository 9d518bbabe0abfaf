#include "daemon/guard/listen/socket_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/utf8.h"
#include "daemon/guard/listen/socket_options.h"
#include "host/safe_file.h"
#include "host/same_file.h"
#include "host/unix_address.h"

namespace postern {
namespace {

// Connections that may wait to be accepted. All users wait in this one queue, and one of them can
// keep it full: so it is no longer than what is accepted in some 50 ms. Who finds it full waits in
// connect(2), as long as it likes. (As Backlog= in systemd/posternd.socket.)
constexpr int backlog = 256;
// How often one path is bound: whatever keeps removing it must not use up the descriptors.
constexpr std::size_t most_bound = 256;

Status check_path(const std::string& path) {
    const std::string who = "socket \"" + printable(path) + "\": ";
    if (path.empty() || path.front() == '@' || path.front() == '\0') {
        return fail(who + "abstract addresses have no owner and no mode; give an absolute path");
    }
    if (path.front() != '/') {
        return fail(who +
                    "not an absolute path; start it with /, for example "
                    "/run/postern/postern.sock");
    }
    if (path.back() == '/') return fail(who + "a directory, not a file; name a file in it");
    if (path.size() > longest_socket_path) {
        return fail(who + "the path has " + std::to_string(path.size()) +
                    " bytes; a socket's path may have at most " +
                    std::to_string(longest_socket_path));
    }
    return {};
}

// Whoever may write to the folder, or owns it, may take the socket away and put another there:
// then callers and their secrets go to that one.
Status check_folder(const BindOptions& options) {
    const std::string& path = options.path;
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == 0 ? "/" : path.substr(0, slash);
    if (options.makes_folder) ::mkdir(folder.c_str(), 0700);  // if it fails, the next lines say why
    const auto safe = check_safe_place(folder, ::geteuid());
    if (safe) return {};
    const bool unsafe = safe.error().kind == OpenError::Kind::unsafe;
    return fail(
        "socket \"" + printable(path) + "\": " + safe.error().message +
        (unsafe ? "; or give another path, because others could remove the socket there" : ""));
}

std::string lock_name(const std::string& path) {
    return path + ".lock";
}

// A lock file beside the socket, held as long as the socket: between "is it stale?" and bind(2)
// nobody else can have taken the path. Root's locks can't be taken by others (mode 0600).
Result<UniqueFd> take_lock(const std::string& path) {
    const std::string name = lock_name(path);
    const std::string who = "socket \"" + printable(path) + "\": ";
    for (;;) {
        UniqueFd lock(
            ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
        if (!lock && (errno == EACCES || errno == EROFS)) {
            return fail(who + "no permission to create files in its directory (" +
                        std::strerror(errno) + "); run as another user, or give another path");
        }
        if (!lock) return fail(who + "lock file " + printable(name) + ": " + std::strerror(errno));
        struct stat opened{};
        if (::fstat(lock.get(), &opened) != 0 || !S_ISREG(opened.st_mode) ||
            opened.st_uid != ::geteuid()) {
            return fail(who + "lock file " + printable(name) +
                        " does not belong to this daemon; remove it if nothing uses it");
        }
        if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
            return fail(who + "another posternd uses it (it holds " + printable(name) + ")");
        }
        // The last holder may have unlinked it between our open and our lock.
        if (lies_at(lock.get(), name)) return lock;
    }
}

// Makes room at the path, if what is there is a stale socket of our own. Precondition: the lock.
Status remove_stale(const std::string& path, const sockaddr_un& address) {
    const std::string who = "socket \"" + printable(path) + "\": ";
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return {};
        return fail(who + std::strerror(errno));
    }
    if (!S_ISSOCK(status.st_mode)) {
        const char* what = S_ISLNK(status.st_mode)   ? "a symbolic link"
                           : S_ISDIR(status.st_mode) ? "a directory"
                           : S_ISREG(status.st_mode) ? "a regular file"
                                                     : "a file that is not a socket";
        return fail(who + "there is " + what +
                    " at that path; posternd leaves it alone, so remove it yourself");
    }
    // At a live datagram socket it fails with EPROTOTYPE; a stale one refuses whatever its type.
    UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return fail(who + std::strerror(errno));
    if (::connect(probe.get(), any_address(address), sizeof address) == 0 ||
        errno != ECONNREFUSED) {
        return fail(who + "another program is listening there");
    }
    if (status.st_uid != ::geteuid()) {
        return fail(who + "there is a stale socket of uid " + std::to_string(status.st_uid) +
                    "; posternd leaves it alone, so remove it yourself");
    }
    if (::unlink(path.c_str()) != 0) return fail(who + "stale socket: " + std::strerror(errno));
    return {};
}

}  // namespace

std::optional<SocketFile::Number> SocketFile::number_at(const std::string& path) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return std::nullopt;
    return Number(status.st_dev, status.st_ino);
}

SocketFile::SocketFile(std::string path) {
    options_.path = std::move(path);
    if (const auto number = number_at(options_.path)) numbers_.push_back(*number);
}

bool SocketFile::is_there() const {
    const auto number = number_at(options_.path);
    return number && std::ranges::find(numbers_, *number) != numbers_.end();
}

SocketFile::~SocketFile() {
    if (!is_own()) return;
    if (is_there()) ::unlink(options_.path.c_str());
    const std::string name = lock_name(options_.path);
    if (lies_at(lock_.get(), name)) ::unlink(name.c_str());  // while it is locked: see take_lock()
}

Result<UniqueFd> SocketFile::bind() {
    const std::string& path = options_.path;
    const std::string who = "socket \"" + printable(path) + "\": ";
    const sockaddr_un address = unix_address(path);
    POSTERN_TRY(remove_stale(path, address));

    const int type = options_.datagram ? SOCK_DGRAM : SOCK_STREAM;
    UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return fail(who + std::strerror(errno));
    refuse_descriptors(socket.get());
    // Before bind(2), so that no packet comes without.
    if (options_.datagram && !ask_for_senders(socket.get())) {
        return fail(who + "SO_PASSCRED: " + std::strerror(errno));
    }
    // The file gets the mode of the socket's own inode, less the umask, in bind(2) itself: there is
    // no moment at which it is wider (net/unix/af_unix.c, since Linux 2.6).
    if (::fchmod(socket.get(), options_.mode) != 0) return fail(who + std::strerror(errno));
    const mode_t old_mask = ::umask(0);
    const int bound = ::bind(socket.get(), any_address(address), sizeof address);
    const int bind_error = errno;
    ::umask(old_mask);
    if (bound != 0) {
        return fail(
            who + "bind: " + std::strerror(bind_error) +
            (bind_error == EACCES ? "; no permission to create files in that directory" : ""));
    }
    const auto number = number_at(path);
    if (!number) return fail(who + "its file was removed immediately");
    numbers_.push_back(*number);
    // A group that is wrong until here can only be the guard's own, which may do this anyway. For a
    // stream socket it is before listen(2), so nobody has connected yet.
    if (options_.group && ::fchownat(AT_FDCWD, path.c_str(), static_cast<uid_t>(-1),
                                     *options_.group, AT_SYMLINK_NOFOLLOW) != 0) {
        return fail(who + "group " + std::to_string(*options_.group) + ": " + std::strerror(errno));
    }
    if (!options_.datagram && ::listen(socket.get(), backlog) != 0) {
        return fail(who + "listen: " + std::strerror(errno));
    }
    return socket;
}

Result<UniqueFd> SocketFile::bind_again() {
    // Each leaves a descriptor behind, for those who have the old file.
    if (numbers_.size() >= most_bound) {
        return fail("socket \"" + printable(path()) + "\": it was bound " +
                    std::to_string(most_bound) +
                    " times; find out what removes it, then restart the daemon");
    }
    POSTERN_TRY(check_folder(options_));
    POSTERN_TRY(restore_lock());
    return bind();
}

Status SocketFile::restore_lock() {
    if (is_own() && !lies_at(lock_.get(), lock_name(path()))) {
        POSTERN_TRY(lock_, take_lock(path()));
    }
    return {};
}

Result<BoundSocket> bind_socket(const BindOptions& options) {
    POSTERN_TRY(check_path(options.path));
    POSTERN_TRY(check_folder(options));
    POSTERN_TRY(auto lock, take_lock(options.path));
    BoundSocket result;
    result.file = std::make_shared<SocketFile>(options, std::move(lock));
    POSTERN_TRY(result.socket, result.file->bind());
    return result;
}

}  // namespace postern
