// The files of sockets that not every user may open, and what to say of users that can't.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace postern::policy {

struct ClosedSocket {
    std::string path;
    mode_t mode = 0;
    uid_t owner = 0;
    gid_t group = 0;
    bool owner_may = false;
    bool group_may = false;
};

// Those that are there. Empty where all users may open one of them, or where that can't be told: an
// access control list says it.
std::vector<ClosedSocket> closed_sockets(const std::vector<std::string>& paths);

// Of a rule that allows everyone: only members of the group "postern" can open SOCKET; ...
std::string closed_to_most_text(const ClosedSocket& socket);
// Of a rule that allows this user: the user "carol" is not in the group "postern" and ...
std::string user_kept_out_text(const ClosedSocket& socket, const std::string& user);
// members who are not in group "postern" can't open SOCKET (mode 0660): carol, dave; run: ...
std::string kept_out_text(const ClosedSocket& socket, const std::vector<std::string>& names);

}  // namespace postern::policy
