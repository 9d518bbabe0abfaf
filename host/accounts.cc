#include "host/accounts.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <limits>
#include <system_error>

namespace postern {
namespace {

// getpwnam_r(3): some modules report "not found" by these.
bool means_not_found(int error) {
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

// Calls a getXXX_r function with a buffer that grows until the entry fits.
template <typename Entry, typename Ask>
Result<std::optional<Entry>> look_up(std::vector<char>& buffer, Ask ask) {
    constexpr std::size_t largest = std::size_t{1} << 24U;  // a group of 65,536 members fits
    buffer.resize(4096);
    while (true) {
        Entry entry{};
        Entry* found = nullptr;
        const int error = ask(&entry, buffer.data(), buffer.size(), &found);
        if (error == EINTR) continue;
        if (error == ERANGE && buffer.size() < largest) {
            buffer.resize(buffer.size() * 2);
            continue;
        }
        if (found != nullptr) return std::optional<Entry>(entry);
        if (means_not_found(error)) return std::optional<Entry>();
        return fail(std::generic_category().message(error));
    }
}

std::string text_or_empty(const char* text) {
    return text == nullptr ? "" : text;
}

Account account_of(const passwd& entry) {
    return {text_or_empty(entry.pw_name), entry.pw_uid, entry.pw_gid, text_or_empty(entry.pw_dir),
            text_or_empty(entry.pw_shell)};
}

Group group_of(const group& entry) {
    Group made{text_or_empty(entry.gr_name), entry.gr_gid, {}};
    for (char** member = entry.gr_mem; member != nullptr && *member != nullptr; ++member) {
        made.members.emplace_back(*member);
    }
    return made;
}

// With each entry that getXXXent_r(3) gives.
template <typename Entry, typename Ask, typename What>
void for_each_entry(Ask ask, What what) {
    std::vector<char> buffer;
    while (true) {
        const auto next = look_up<Entry>(buffer, ask);
        if (!next) return;
        const std::optional<Entry>& entry = *next;
        if (!entry) return;
        what(*entry);
    }
}

Result<std::optional<Account>> to_account(Result<std::optional<passwd>> entry) {
    if (!entry) return Unexpected(std::move(entry).error());
    const std::optional<passwd>& found = *entry;
    if (!found) return std::optional<Account>();
    return std::optional<Account>(account_of(*found));
}

void sort_and_add(std::vector<gid_t>& groups, gid_t gid) {
    groups.push_back(gid);
    std::ranges::sort(groups);
    const auto rest = std::ranges::unique(groups);
    groups.erase(rest.begin(), rest.end());
}

}  // namespace

Result<std::optional<Account>> find_user(const std::string& name) {
    std::vector<char> buffer;
    return to_account(
        look_up<passwd>(buffer, [&](passwd* entry, char* data, std::size_t size, passwd** found) {
            return getpwnam_r(name.c_str(), entry, data, size, found);
        }));
}

Result<std::optional<Account>> find_user(uid_t uid) {
    std::vector<char> buffer;
    return to_account(
        look_up<passwd>(buffer, [&](passwd* entry, char* data, std::size_t size, passwd** found) {
            return getpwuid_r(uid, entry, data, size, found);
        }));
}

Result<std::optional<gid_t>> find_group(const std::string& name) {
    std::vector<char> buffer;
    Result<std::optional<group>> entry =
        look_up<group>(buffer, [&](group* into, char* data, std::size_t size, group** found) {
            return getgrnam_r(name.c_str(), into, data, size, found);
        });
    if (!entry) return Unexpected(std::move(entry).error());
    const std::optional<group>& found = *entry;
    if (!found) return std::optional<gid_t>();
    return std::optional<gid_t>(found->gr_gid);
}

Result<std::optional<Group>> find_group_by_id(gid_t gid) {
    std::vector<char> buffer;
    const Result<std::optional<group>> entry =
        look_up<group>(buffer, [&](group* into, char* data, std::size_t size, group** found) {
            return getgrgid_r(gid, into, data, size, found);
        });
    if (!entry) return fail(entry.error().message);
    const std::optional<group>& found = *entry;
    if (!found) return std::optional<Group>();
    return std::optional<Group>(group_of(*found));
}

std::vector<Account> all_users() {
    std::vector<Account> users;
    setpwent();
    for_each_entry<passwd>(getpwent_r,
                           [&](const passwd& entry) { users.push_back(account_of(entry)); });
    endpwent();
    return users;
}

std::vector<Group> all_groups() {
    std::vector<Group> groups;
    setgrent();
    for_each_entry<group>(getgrent_r,
                          [&](const group& entry) { groups.push_back(group_of(entry)); });
    endgrent();
    return groups;
}

std::vector<gid_t> groups_of(const std::string& user, gid_t gid) {
    constexpr int most = 65536 + 1;  // NGROUPS_MAX, and the primary one
    std::vector<gid_t> groups(64);
    while (true) {
        int count = static_cast<int>(groups.size());
        if (getgrouplist(user.c_str(), gid, groups.data(), &count) >= 0) {
            groups.resize(static_cast<std::size_t>(count));
            break;
        }
        if (static_cast<int>(groups.size()) >= most) break;
        groups.resize(static_cast<std::size_t>(
            std::clamp(std::max(count, static_cast<int>(groups.size()) * 2), 0, most)));
    }
    sort_and_add(groups, gid);
    return groups;
}

std::vector<gid_t> process_groups() {
    std::vector<gid_t> groups;
    while (true) {
        const int count = getgroups(0, nullptr);
        groups.resize(static_cast<std::size_t>(std::max(count, 0)));
        const int got = getgroups(count, groups.data());
        // A number of 0 asks only how many there are.
        if (got > count || (got < 0 && errno == EINVAL)) continue;
        groups.resize(static_cast<std::size_t>(std::max(got, 0)));
        break;
    }
    sort_and_add(groups, getegid());
    return groups;
}

std::optional<id_t> parse_id(std::string_view text) {
    id_t id = 0;
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    const auto [rest, error] = std::from_chars(begin, end, id);
    if (error != std::errc{} || rest != end || (text.size() > 1 && text.front() == '0')) {
        return std::nullopt;
    }
    if (id == std::numeric_limits<id_t>::max()) return std::nullopt;
    return id;
}

}  // namespace postern
