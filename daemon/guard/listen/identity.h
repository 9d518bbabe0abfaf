// Who a connection comes from: taken from the kernel when it is accepted, by the guard itself.
//
// SO_PEERCRED and SO_PEERGROUPS say who connected, frozen at connect(2) (unix(7)); SO_PEERPIDFD
// (Linux 6.5) pins the process, so that its systemd unit and the map of its user namespace can be
// read without a race against reuse of the pid. A descriptor that somebody else hands over proves
// nothing: this is only ever called on a descriptor that the guard got from its own accept4().
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/guard/audit/account_names.h"
#include "daemon/guard/listen/late_unit.h"
#include "daemon/policy/verdict.h"

namespace postern {

// Who connected. The policy's Caller is everything that a rule may ask, hence the key of a session
// too: who differs in it never shares one.
struct Peer {
    policy::Caller caller;
    pid_t pid = 0;
    LateUnit unit;  // of the system
    // Nothing but bytes can come by the connection, so that nobody stands still who closes it.
    bool bytes_only = false;
};

// What is asked of a peer's process, which takes a few files of /proc.
struct PeerQuestions {
    bool unit = true;  // at once; else it is pinned until somebody wants to know
    bool map = true;   // of its user namespace
};

// The system calls that an identity is made of, replaceable so that tests can make each one fail.
struct PeerCalls {
    int (*getsockopt)(int, int, int, void*, socklen_t*) = ::getsockopt;
    int (*poll)(pollfd*, nfds_t, int) = ::poll;
    // The whole of a small file below /proc; absent where it can't be read.
    std::optional<std::string> (*read_proc)(const std::string& path) = nullptr;
    // The guard's own; null: what it is.
    const std::string* own_uid_map = nullptr;
};

// Who connected, as far as it says at once: pid, uid and gid. Error: the kernel does not say who it
// is, or says that it does not know (pid 0, an id of 0xffffffff): the connection is refused.
Result<ucred> credentials_of(int connection, const PeerCalls& calls = {});

// The whole identity of a peer of these credentials. That can take a millisecond: it may have
// 65,536 groups, and a user namespace whose map has 340 lines. Errors: the kernel does not say.
// That the unit can't be told, or the user namespace, is no error.
Result<Peer> identify(int connection, const ucred& credentials, const PeerQuestions& questions,
                      const PeerCalls& calls = {});

// What LateUnit asks. The pidfd stays the caller's. Absent: not known, or it has ended.
std::optional<std::string> unit_of_process(pid_t pid, int pidfd, const PeerCalls& calls);

// Who sent a datagram: what came with it, received with SO_PASSCRED and SO_PASSPIDFD by the guard
// itself. The kernel says the sender's real ids, which without privilege can't be forged, and no
// groups: those are not known. Nor is the user namespace taken to be: most senders are gone by
// then, and one user's packets would be two callers, by chance. `pidfd` is none where there is
// none; `unit` as of PeerQuestions. Errors: as of credentials_of().
Result<Peer> identify_sender(const ucred& credentials, UniqueFd pidfd, bool unit,
                             const PeerCalls& calls = {});

// Whether this kernel can tell a peer's unit and user namespace at all (SO_PEERPIDFD, Linux 6.5).
bool units_are_known();

// The unit in the path of a process's cgroup, e.g. "/system.slice/ci.service/payload" ->
// ci.service. Read from the front: slices are skipped, the next component must be a service or a
// scope. What is below user@UID.service is made by that user, so it counts as that service and as
// nothing else. Slices must nest as systemd nests them, by their names: what a container's own
// systemd makes below a cgroup that merely ends in ".slice" is no unit of the system (but right
// below one at the top, which nests whatever its name: the manual says so). One "_" in front of a
// name is systemd's escape (cg_escape() in its src/basic/cgroup-util.c) and is taken off.
std::optional<std::string> unit_of_cgroup(std::string_view path);

// For messages to the caller: `uid 1000 (ada), gid 1000 (ada), groups 27 (sudo) 1000 (ada)`, names
// where they are known; at most 32 groups are named.
std::string describe(const policy::Caller& caller, const std::optional<std::string>& unit,
                     const AccountNames& names = {});

}  // namespace postern
