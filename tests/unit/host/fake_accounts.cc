#include "tests/unit/host/fake_accounts.h"

#include <dlfcn.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
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

// How many setpwent(3) and setgrent(3) have since given.
std::size_t users_given = 0;
std::size_t groups_given = 0;

int give_user(const Account* user, passwd* entry, char* buffer, std::size_t size, passwd** found) {
    *found = nullptr;
    if (user == nullptr) return 0;
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

int give_group(const FakeGroup* one, group* entry, char* buffer, std::size_t size, group** found) {
    *found = nullptr;
    if (one == nullptr) return 0;
    // The list of members first, which has to be aligned.
    void* at = buffer;
    const std::size_t list_bytes = (one->members.size() + 1) * sizeof(char*);
    if (std::align(alignof(char*), list_bytes, at, size) == nullptr) return ERANGE;
    char** const list = static_cast<char**>(at);
    Texts texts(static_cast<char*>(at) + list_bytes, size - list_bytes);
    *entry = {};
    entry->gr_name = texts.put(one->name);
    entry->gr_passwd = texts.put("x");
    entry->gr_gid = one->gid;
    entry->gr_mem = list;
    std::size_t count = 0;
    for (const std::string& member : one->members) list[count++] = texts.put(member);
    list[count] = nullptr;
    if (!texts.fit()) return ERANGE;
    *found = entry;
    return 0;
}

template <typename List, typename Which>
auto find_in(const List& list, Which which) {
    const auto found = std::ranges::find_if(list, which);
    return found == list.end() ? nullptr : &*found;
}

// The next one; where it did not fit, the same again.
template <typename List, typename Give>
int give_next(const List& list, std::size_t& given, Give give) {
    const int error = give(given < list.size() ? &list[given] : nullptr);
    if (given == list.size()) return ENOENT;
    if (error == 0) ++given;
    return error;
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
    const Account* const user =
        find_in(present->users(), [name](const Account& one) { return one.name == name; });
    return give_user(user, entry, buffer, size, found);
}

int getpwuid_r(uid_t uid, passwd* entry, char* buffer, std::size_t size, passwd** found) {
    using namespace postern;
    if (present == nullptr) {
        return real(&::getpwuid_r, "getpwuid_r")(uid, entry, buffer, size, found);
    }
    const Account* const user =
        find_in(present->users(), [uid](const Account& one) { return one.uid == uid; });
    return give_user(user, entry, buffer, size, found);
}

int getgrnam_r(const char* name, group* entry, char* buffer, std::size_t size, group** found) {
    using namespace postern;
    if (present == nullptr) {
        return real(&::getgrnam_r, "getgrnam_r")(name, entry, buffer, size, found);
    }
    const FakeGroup* const one =
        find_in(present->groups(), [name](const FakeGroup& each) { return each.name == name; });
    return give_group(one, entry, buffer, size, found);
}

int getgrgid_r(gid_t gid, group* entry, char* buffer, std::size_t size, group** found) {
    using namespace postern;
    if (present == nullptr) {
        return real(&::getgrgid_r, "getgrgid_r")(gid, entry, buffer, size, found);
    }
    const FakeGroup* const one =
        find_in(present->groups(), [gid](const FakeGroup& each) { return each.gid == gid; });
    return give_group(one, entry, buffer, size, found);
}

void setpwent() {
    postern::users_given = 0;
    if (postern::present == nullptr) postern::real(&::setpwent, "setpwent")();
}

void setgrent() {
    postern::groups_given = 0;
    if (postern::present == nullptr) postern::real(&::setgrent, "setgrent")();
}

int getpwent_r(passwd* entry, char* buffer, std::size_t size, passwd** found) {
    using namespace postern;
    if (present == nullptr) return real(&::getpwent_r, "getpwent_r")(entry, buffer, size, found);
    return give_next(present->users(), users_given, [&](const Account* user) {
        return give_user(user, entry, buffer, size, found);
    });
}

int getgrent_r(group* entry, char* buffer, std::size_t size, group** found) {
    using namespace postern;
    if (present == nullptr) return real(&::getgrent_r, "getgrent_r")(entry, buffer, size, found);
    return give_next(present->groups(), groups_given, [&](const FakeGroup* one) {
        return give_group(one, entry, buffer, size, found);
    });
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
