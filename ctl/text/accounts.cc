#include "ctl/text/accounts.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>

#include "base/utf8.h"

namespace postern::ctl {
namespace {

// Grows the buffer of a get...id_r function until the entry fits. A group of many members needs
// more than sysconf(_SC_GETGR_R_SIZE_MAX) promises.
template <typename Entry, typename Id>
bool look_up(int (*get)(Id, Entry*, char*, std::size_t, Entry**), Id id, Entry& entry,
             std::vector<char>& buffer) {
    constexpr std::size_t most = std::size_t{16} * 1024 * 1024;
    for (buffer.resize(4096); buffer.size() <= most; buffer.resize(buffer.size() * 2)) {
        Entry* found = nullptr;
        int error = 0;
        do {
            error = get(id, &entry, buffer.data(), buffer.size(), &found);
        } while (error == EINTR);
        if (error != ERANGE) return error == 0 && found != nullptr;
    }
    return false;
}

std::string with_name(std::uint64_t id, const std::string& name) {
    const auto text = std::to_string(id);
    return name.empty() ? text : text + " (" + printable(name) + ")";
}

}  // namespace

std::string user_name(uid_t uid) {
    passwd entry{};
    std::vector<char> buffer;
    return look_up(getpwuid_r, uid, entry, buffer) ? entry.pw_name : std::string{};
}

std::string group_name(gid_t gid) {
    group entry{};
    std::vector<char> buffer;
    return look_up(getgrgid_r, gid, entry, buffer) ? entry.gr_name : std::string{};
}

std::vector<std::string> group_members(gid_t gid) {
    group entry{};
    std::vector<char> buffer;
    std::vector<std::string> members;
    if (!look_up(getgrgid_r, gid, entry, buffer)) return members;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-bounds-pointer-arithmetic): getgrgid_r(3)'s own shape
    for (char** member = entry.gr_mem; *member != nullptr; ++member) members.emplace_back(*member);
    return members;
}

std::string user_text(uid_t uid) {
    return with_name(uid, user_name(uid));
}
std::string group_text(gid_t gid) {
    return with_name(gid, group_name(gid));
}

}  // namespace postern::ctl
