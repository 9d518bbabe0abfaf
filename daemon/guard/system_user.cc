#include "daemon/guard/system_user.h"

#include <pwd.h>

#include <cerrno>
#include <cstring>

#include "base/utf8.h"

namespace postern {

Result<std::pair<uid_t, gid_t>> ids_of_system_user(const char* whose, const char* option,
                                                   const std::string& name) {
    errno = 0;
    const passwd* account = ::getpwnam(name.c_str());
    if (account == nullptr) {
        return fail(whose + std::string(" user \"") + printable(name) + "\" " +
                    (errno == 0 ? "does not exist"
                                : std::string("can't be looked up: ") + std::strerror(errno)) +
                    "; create it: systemd-sysusers, or useradd --system --no-create-home --shell "
                    "/usr/sbin/nologin " +
                    printable(name) + "; or name another with " + option);
    }
    if (account->pw_uid == 0 || account->pw_gid == 0) {
        return fail(whose + std::string(" user \"") + printable(name) +
                    "\" is root or has root's group; name a user without privileges");
    }
    return std::pair{account->pw_uid, account->pw_gid};
}

}  // namespace postern
