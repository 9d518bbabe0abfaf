// "allow" and "deny": who may and who may not.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string_view>
#include <vector>

#include "daemon/policy/file/document.h"
#include "daemon/policy/snapshot.h"
#include "host/accounts.h"

namespace postern::policy {

// The subjects of a list; `verb` is "allow" or "deny". Names are resolved; whatever is wrong, a
// name that nobody has included, is reported to the document.
std::vector<Rule> read_rules(Document& document, const Node& list, std::string_view verb);

// Whom a user's name or number means.
struct NamedUser {
    uid_t uid = 0;
    std::optional<Account> account;  // of that name; absent: a number was written
};

// A text is the name of the account or group that has it. One of digits alone that nobody has is a
// number, as a number of JSON always is; where it could be taken for the other a warning says which
// it was taken for. Absent: reported.
std::optional<NamedUser> read_user(Document& document, const Node& node);
std::optional<gid_t> read_group(Document& document, const Node& node);

}  // namespace postern::policy
