#include "daemon/guard/audit/account_names.h"

#include <algorithm>
#include <cstddef>

#include "base/utf8.h"

namespace postern {
namespace {

// LOGIN_NAME_MAX of Linux.
constexpr std::size_t longest_name = 256;
constexpr std::size_t most_learned = 4096;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool looks_like_number(std::string_view name) {
    if (name.front() == '+' || name.front() == '-') name.remove_prefix(1);
    if (name.starts_with("0x") || name.starts_with("0X")) {
        return std::ranges::all_of(name.substr(2), [](char c) {
            return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        });
    }
    return std::ranges::all_of(name, is_digit);
}

template <typename Id>
std::string name_in(const std::map<Id, std::string>& names, Id id) {
    const auto found = names.find(id);
    const bool usable = found != names.end() && is_plain_account_name(found->second);
    return usable ? found->second : std::string();
}

std::string with_name(std::string text, const std::string& name) {
    if (name.empty()) return text;
    const bool plain = std::ranges::all_of(name, [](char c) {
        return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view("._-@$+\\").find(c) != std::string_view::npos;
    });
    return text.append(" (").append(plain ? name : in_quotes(name)).append(")");
}

}  // namespace

bool is_plain_account_name(std::string_view name) {
    if (name.empty() || name.size() > longest_name || looks_like_number(name)) return false;
    if (name.front() == ' ' || name.back() == ' ') return false;
    return !forbidden_character(name);
}

void AccountNames::learn(uid_t uid, const std::string& name) {
    if (name.empty()) {
        learned_.erase(uid);
        return;
    }
    if (learned_.size() >= most_learned) learned_.clear();
    learned_[uid] = name;
}

std::string AccountNames::user(uid_t uid) const {
    std::string name = snapshot_ ? name_in(snapshot_->people.user_names, uid) : std::string();
    return name.empty() ? name_in(learned_, uid) : name;
}

bool AccountNames::is_user(const std::string& name) const {
    const auto is_called_so = [&name](const auto& user) { return user.second == name; };
    if (!is_plain_account_name(name)) return false;
    return (snapshot_ && std::ranges::any_of(snapshot_->people.user_names, is_called_so)) ||
           std::ranges::any_of(learned_, is_called_so);
}

std::string AccountNames::uid_text(uid_t uid) const {
    return with_name("uid " + std::to_string(uid), user(uid));
}

std::string AccountNames::gid_text(gid_t gid) const {
    return with_name(std::to_string(gid), group(gid));
}

std::string AccountNames::group(gid_t gid) const {
    return snapshot_ ? name_in(snapshot_->people.group_names, gid) : std::string();
}

}  // namespace postern
