// What users and groups are called, for people who read the audit and for jobs that are told who
// called. Nothing is decided by a name, and nobody is asked for one while a call waits: the names
// are those that the last load of the action files found, and those that were found when it was
// looked up whether a caller has an account.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/policy/snapshot.h"

namespace postern {

// Whether it can be taken for nothing but a name: no number (a reader would take it for an id, as
// programs do), no control or invisible characters, no blank around it.
bool is_plain_account_name(std::string_view name);

class AccountNames {
  public:
    void set_snapshot(policy::SnapshotPtr snapshot) { snapshot_ = std::move(snapshot); }
    // Of one that the user database does not list. Empty: it has no account.
    void learn(uid_t uid, const std::string& name);

    // Empty: it has none, it is not known, or it is not is_plain_account_name().
    [[nodiscard]] std::string user(uid_t uid) const;
    [[nodiscard]] std::string group(gid_t gid) const;
    // Whether any user is called so, as far as user() knows.
    [[nodiscard]] bool is_user(const std::string& name) const;

    // For messages and the log: "uid 1000 (alice)", "uid 1000 (\"al ice\")", "uid 1000".
    [[nodiscard]] std::string uid_text(uid_t uid) const;
    // The same without "gid": "27 (sudo)".
    [[nodiscard]] std::string gid_text(gid_t gid) const;

  private:
    policy::SnapshotPtr snapshot_;
    std::map<uid_t, std::string> learned_;
};

}  // namespace postern
