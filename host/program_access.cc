#include "host/program_access.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "base/unique_fd.h"
#include "base/utf8.h"

namespace postern {
namespace {

constexpr mode_t may_execute = 1;
constexpr mode_t may_read = 4;

std::string shown_owner_and_mode(const struct stat& status) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), " (owned by uid %u, mode %04o)", status.st_uid,
                  static_cast<unsigned>(status.st_mode & 07777U));
    return text.data();
}

bool begins_as_script(const std::string& path) {
    // What stands there is no regular file only where somebody replaces it now.
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    std::array<char, 2> first{};
    return file && ::read(file.get(), first.data(), first.size()) == 2 && first[0] == '#' &&
           first[1] == '!';
}

class AccessJudge {
  public:
    AccessJudge(uid_t uid, const std::vector<gid_t>& groups) : uid_(uid), groups_(groups) {}

    // Empty: it may, or that can't be told.
    [[nodiscard]] std::string object(const std::string& path, mode_t wanted,
                                     const std::string& verb) const {
        struct stat status{};
        const bool has_list = ::getxattr(path.c_str(), "system.posix_acl_access", nullptr, 0) > 0;
        if (has_list || ::stat(path.c_str(), &status) != 0) return {};
        if ((bits_of(status) & wanted) == wanted) return {};
        return "may not " + verb + ' ' + printable(path) + shown_owner_and_mode(status);
    }

  private:
    // The kernel looks at one class alone: an owner has no more than the owner's bits.
    [[nodiscard]] mode_t bits_of(const struct stat& status) const {
        if (status.st_uid == uid_) return (status.st_mode >> 6U) & 7U;
        const bool member = std::ranges::find(groups_, status.st_gid) != groups_.end();
        return (member ? status.st_mode >> 3U : status.st_mode) & 7U;
    }

    uid_t uid_;
    const std::vector<gid_t>& groups_;
};

}  // namespace

std::string program_access_problem(const std::string& path, uid_t uid,
                                   const std::vector<gid_t>& groups) {
    std::error_code failed;
    const auto real = std::filesystem::canonical(path, failed);
    if (failed || uid == 0) return {};
    const AccessJudge judge(uid, groups);
    std::filesystem::path directory;
    for (const auto& component : real.parent_path()) {
        directory /= component;
        std::string problem = judge.object(directory.string(), may_execute, "enter");
        if (!problem.empty()) return problem;
    }
    std::string problem = judge.object(real.string(), may_execute, "execute");
    if (problem.empty() && begins_as_script(real.string())) {
        problem = judge.object(real.string(), may_read, "read");
        if (!problem.empty()) problem += ", which is a script";
    }
    return problem;
}

}  // namespace postern
