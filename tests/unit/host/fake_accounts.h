// Users and groups that a test names itself, in place of those of the machine that it runs on.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "host/accounts.h"

namespace postern {

struct FakeGroup {
    std::string name;
    gid_t gid = 0;
    std::vector<std::string> members;  // besides those whose own it is
};

// As long as it lives there are these and no others, for all that this program asks the C library.
// One at a time.
class FakeAccounts {
  public:
    // Some of those that every Debian has, and "member" (1001), who is in "extra" (2000) too.
    FakeAccounts();
    FakeAccounts(std::vector<Account> users, std::vector<FakeGroup> groups);
    FakeAccounts(const FakeAccounts&) = delete;
    FakeAccounts& operator=(const FakeAccounts&) = delete;
    ~FakeAccounts();

    [[nodiscard]] const std::vector<Account>& users() const { return users_; }
    [[nodiscard]] const std::vector<FakeGroup>& groups() const { return groups_; }

  private:
    std::vector<Account> users_;
    std::vector<FakeGroup> groups_;
};

}  // namespace postern
