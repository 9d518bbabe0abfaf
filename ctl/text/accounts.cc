#include "ctl/text/accounts.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>

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

// Takes a number that ends at one of " ,)" and has no name behind it yet.
std::optional<std::uint32_t> take_id(std::string_view& rest) {
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), id);
    const auto taken = static_cast<std::size_t>(end - rest.data());
    if (error != std::errc{} || taken == rest.size()) return std::nullopt;
    const std::string_view behind = rest.substr(taken);
    if (std::string_view(" ,)").find(behind.front()) == std::string_view::npos ||
        behind.starts_with(" (")) {
        return std::nullopt;
    }
    rest = behind;
    return id;
}

bool take(std::string_view& rest, std::string_view word, std::string& text) {
    if (!rest.starts_with(word)) return false;
    rest.remove_prefix(word.size());
    text += word;
    return true;
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

std::string with_names(std::string_view message) {
    constexpr std::string_view begin = "(uid ";
    const auto at = message.rfind(begin);
    if (at == std::string_view::npos) return std::string(message);
    std::string text(message.substr(0, at));
    std::string_view rest = message.substr(at);
    if (take(rest, begin, text)) {
        if (const auto uid = take_id(rest)) text += user_text(*uid);
    }
    if (take(rest, ", gid ", text)) {
        if (const auto gid = take_id(rest)) text += group_text(*gid);
    }
    if (take(rest, ", groups", text)) {
        while (rest.starts_with(' ')) {
            std::string_view behind = rest.substr(1);
            const auto gid = take_id(behind);
            if (!gid) break;
            text += ' ' + group_text(*gid);
            rest = behind;
        }
    }
    return text.append(rest);
}

std::string user_text(uid_t uid) {
    return with_name(uid, user_name(uid));
}
std::string group_text(gid_t gid) {
    return with_name(gid, group_name(gid));
}

}  // namespace postern::ctl
