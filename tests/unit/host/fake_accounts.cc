#include "tests/unit/host/fake_accounts.h"

#include <dlfcn.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace postern {
namespace {

// What the functions below go by, which the C library's callers call in this program.
const FakeAccounts* present = nullptr;

template <typename Function>
Function real(Function /*like*/, const char* name) {
    return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

// Puts texts into a caller's buffer, for as long as there is room.
class Texts {
  public:
    Texts(char* buffer, std::size_t size) : next_(buffer), left_(size) {}
    char* put(const std::string& text) {
        if (text.size() + 1 > left_) {
            fit_ = false;
            return nullptr;
        }
        char* const at = next_;
        std::memcpy(at, text.c_str(), text.size() + 1);
        next_ += text.size() + 1;
        left_ -= text.size() + 1;
        return at;
    }
    [[nodiscard]] bool fit() const { return fit_; }

  private:
    char* next_;
    std::size_t left_;
    bool fit_ = true;
};

template <typename Which>
int give_user(Which which, passwd* entry, char* buffer, std::size_t size, passwd** found) {
    *found = nullptr;
    const auto user = std::ranges::find_if(present->users(), which);
    if (user == present->users().end()) return 0;
    Texts texts(buffer, size);
    *entry = {};
    entry->pw_name = texts.put(user->name);
    entry->pw_passwd = texts.put("x");
    entry->pw_uid = user->uid;
    entry->pw_gid = user->gid;
    entry->pw_gecos = texts.put("");
    entry->pw_dir = texts.put(user->home);
    entry->pw_shell = texts.put(user->shell);
    if (!texts.fit()) return ERANGE;
    *found = entry;
    return 0;
}

}  // namespace

FakeAccounts::FakeAccounts()
    : FakeAccounts({{"root", 0, 0, "/root", "/bin/bash"},
                    {"daemon", 1, 1, "/usr/sbin", "/usr/sbin/nologin"},
                    {"bin", 2, 2, "/bin", "/usr/sbin/nologin"},
                    {"sys", 3, 3, "/dev", "/usr/sbin/nologin"},
                    {"member", 1001, 1001, "/home/member", "/bin/sh"}},
                   {{"root", 0, {}},
                    {"daemon", 1, {}},
                    {"bin", 2, {}},
                    {"sys", 3, {}},
                    {"member", 1001, {}},
                    {"extra", 2000, {"member"}}}) {}

FakeAccounts::FakeAccounts(std::vector<Account> users, std::vector<FakeGroup> groups)
    : users_(std::move(users)), groups_(std::move(groups)) {
    present = this;
}

FakeAccounts::~FakeAccounts() {
    present = nullptr;
}

}  // namespace postern

// The program's own functions take the place of the C library's, and call those where there is no
// FakeAccounts.
extern "C" {

int getpwnam_r(const char* name, passwd* entry, char* buffer, std::size_t size, passwd** found) {
    using namespace postern;
    if (present == nullptr) {
        return real(&::getpwnam_r, "getpwnam_r")(name, entry, buffer, size, found);
    }
    return give_user([name](const Account& user) { return user.name == name; }, entry, buffer, size,
                     found);
}

int getpwuid_r(uid_t uid, passwd* entry, char* buffer, std::size_t size, passwd** found) {
    using namespace postern;
    if (present == nullptr) {
        return real(&::getpwuid_r, "getpwuid_r")(uid, entry, buffer, size, found);
    }
    return give_user([uid](const Account& user) { return user.uid == uid; }, entry, buffer, size,
                     found);
}

int getgrnam_r(const char* name, group* entry, char* buffer, std::size_t size, group** found) {
    using namespace postern;
    if (present == nullptr) {
        return real(&::getgrnam_r, "getgrnam_r")(name, entry, buffer, size, found);
    }
    *found = nullptr;
    const auto of_name =
        std::ranges::find_if(present->groups(), [name](const auto& g) { return g.name == name; });
    if (of_name == present->groups().end()) return 0;
    Texts texts(buffer, size);
    static char* no_members = nullptr;  // nobody here asks for them
    *entry = {};
    entry->gr_name = texts.put(of_name->name);
    entry->gr_passwd = texts.put("x");
    entry->gr_gid = of_name->gid;
    entry->gr_mem = &no_members;
    if (!texts.fit()) return ERANGE;
    *found = entry;
    return 0;
}

int getgrouplist(const char* user, gid_t gid, gid_t* groups, int* count) {
    using namespace postern;
    if (present == nullptr) {
        return real(&::getgrouplist, "getgrouplist")(user, gid, groups, count);
    }
    std::vector<gid_t> own = {gid};
    for (const FakeGroup& one : present->groups()) {
        if (one.gid != gid && std::ranges::find(one.members, user) != one.members.end()) {
            own.push_back(one.gid);
        }
    }
    const int room = std::exchange(*count, static_cast<int>(own.size()));
    std::copy_n(own.begin(), std::min(room, *count), groups);
    return room < *count ? -1 : *count;
}

}  // extern "C"
