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

// A user or group as name, number or decimal string. Absent: reported.
std::optional<uid_t> read_user(Document& document, const Node& node);
std::optional<gid_t> read_group(Document& document, const Node& node);

}  // namespace postern::policy
