#include "ctl/wire/reply_address.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "base/utf8.h"
#include "host/unix_address.h"

namespace postern::ctl {
namespace {

constexpr const char* folder_name = "/posternctl-XXXXXX";
constexpr const char* socket_name = "/reply";
constexpr const char* no_answer = "no answer can be received: ";

bool is_absolute(const std::string& path) {
    return !path.empty() && path.front() == '/';
}

// What XDG_RUNTIME_DIR promises to be: one's own, and no one else's to write. Under sudo or su it
// can still be the other user's.
bool is_runtime_folder(const std::string& path) {
    struct stat status{};
    return is_absolute(path) && stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
           status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Why somebody else could replace what is made in the folder, or nothing.
std::optional<std::string> flaw_of(const std::string& folder) {
    if (!is_absolute(folder)) return "not an absolute path";
    struct stat status{};
    if (stat(folder.c_str(), &status) != 0) return std::strerror(errno);
    if (!S_ISDIR(status.st_mode)) return "not a directory";
    // In a user namespace the owner of /tmp may be one that has no number there.
    constexpr uid_t overflow_uid = 65534;
    if (status.st_uid != 0 && status.st_uid != geteuid() && status.st_uid != overflow_uid) {
        return "it belongs to another user";
    }
    const bool others_write = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
    if (others_write && (status.st_mode & S_ISVTX) == 0) {
        return "others can write to it, and it has no sticky bit";
    }
    return std::nullopt;
}

}  // namespace

Result<ReplyAddress> ReplyAddress::bind(int socket, const SocketEnvironment& environment) {
    if (is_runtime_folder(environment.xdg_runtime_dir)) {
        auto address = bind_in(environment.xdg_runtime_dir, socket);
        if (address) return address;
    }
    const bool named = !environment.tmpdir.empty();
    const auto& parent = named ? environment.tmpdir : std::string("/tmp");
    if (const auto flaw = flaw_of(parent)) {
        return fail(no_answer + std::string(named ? "TMPDIR: " : "") + printable(parent) + ": " +
                    *flaw + (named ? "" : "; name another directory with TMPDIR"));
    }
    return bind_in(parent, socket);
}

Result<ReplyAddress> ReplyAddress::bind_in(const std::string& parent, int socket) {
    std::string folder = parent + folder_name;
    const auto failed = [&parent](const std::string& what) {
        return fail(no_answer + printable(parent) + ": " + what +
                    "; name another directory with TMPDIR");
    };
    const auto length = folder.size() + std::strlen(socket_name);
    if (length > longest_socket_path) {
        return failed("too long: a socket in it would have a path of " + std::to_string(length) +
                      " bytes, but the limit is " + std::to_string(longest_socket_path));
    }
    if (mkdtemp(folder.data()) == nullptr) {
        return failed(std::string("can't create a directory in it: ") + std::strerror(errno));
    }
    ReplyAddress made(parent, folder);
    const auto path = folder + socket_name;
    const auto address = unix_address(path);
    // Both modes are set for good: the umask that was inherited may deny us our own folder, and
    // the daemon, which answers with our rights, our own socket.
    if (chmod(folder.c_str(), S_IRWXU) != 0 ||
        ::bind(socket, any_address(address), sizeof address) != 0 ||
        chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0) {
        return failed(std::string("can't create a socket in it: ") + std::strerror(errno));
    }
    return made;
}

ReplyAddress::ReplyAddress(ReplyAddress&& other) noexcept
    : parent_(std::move(other.parent_)), folder_(std::exchange(other.folder_, {})) {}

ReplyAddress::~ReplyAddress() {
    if (folder_.empty()) return;
    unlink((folder_ + socket_name).c_str());
    rmdir(folder_.c_str());
}

}  // namespace postern::ctl
