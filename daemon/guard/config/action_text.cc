#include "daemon/guard/config/action_text.h"

#include "base/utf8.h"
#include "host/accounts.h"

namespace postern {
namespace {

std::string with_braces_doubled(std::string_view text) {
    std::string doubled;
    for (const char c : text) {
        if (c == '{' || c == '}') doubled += c;
        doubled += c;
    }
    return doubled;
}

std::string name_or_id(const std::string& name, id_t id) {
    return name.empty() ? std::to_string(id) : printable(name);
}

}  // namespace

std::vector<std::string> exec_of(const policy::Action& action) {
    std::vector<std::string> words = {with_braces_doubled(action.program)};
    for (const policy::Template& element : action.command) {
        std::string& word = words.emplace_back();
        for (const policy::Piece& piece : element) {
            word += piece.placeholder ? '{' + piece.text + '}' : with_braces_doubled(piece.text);
        }
    }
    return words;
}

std::string command_text(const policy::Action& action) {
    std::string line;
    for (const std::string& word : exec_of(action)) {
        if (!line.empty()) line += ' ';
        const bool plain = !word.empty() && word.find_first_of(" \t\n\"'\\") == std::string::npos;
        line += plain ? printable(word) : in_quotes(word, std::string::npos);
    }
    return line;
}

std::string name_of_user(uid_t uid) {
    const Result<std::optional<Account>> account = find_user(uid);
    if (!account) return {};
    return account->value_or(Account()).name;
}

std::string name_of_group(gid_t gid) {
    const Result<std::optional<Group>> group = find_group_by_id(gid);
    if (!group) return {};
    return group->value_or(Group()).name;
}

std::string identity_text(const policy::Action& action) {
    std::string text = "root";
    if (action.uid != 0 || action.gid != 0) {
        const std::string user = action.account.empty() ? name_of_user(action.uid) : action.account;
        text =
            name_or_id(user, action.uid) + ':' + name_or_id(name_of_group(action.gid), action.gid);
    }
    std::string groups;
    for (const gid_t gid : action.groups) {
        if (gid == action.gid) continue;
        groups += groups.empty() ? "" : ", ";
        groups += name_or_id(name_of_group(gid), gid);
    }
    return groups.empty() ? text : text + ", groups " + groups;
}

}  // namespace postern
