#include "daemon/guard/listen/identity.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"
#include "daemon/guard/listen/socket_options.h"
#include "host/subordinate_ids.h"

namespace postern {
namespace {

constexpr std::uint32_t no_id = 0xffffffff;
constexpr std::size_t most_groups = 65536;  // NGROUPS_MAX, limits.h

std::optional<std::string> read_small_file(const std::string& path) {
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return std::nullopt;
    std::string text;
    std::array<char, 4096> buffer;
    for (;;) {
        const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return std::nullopt;
        if (count == 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(count));
        if (text.size() > 64 * 1024) return std::nullopt;
    }
}

// The text behind `prefix` of the line that begins with it.
std::optional<std::string_view> line_value(std::string_view text, std::string_view prefix) {
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        if (line.starts_with(prefix)) return line.substr(prefix.size());
        text.remove_prefix(std::min(text.size(), line.size() + 1));
    }
    return std::nullopt;
}

Result<std::vector<gid_t>> peer_groups(int connection, const PeerCalls& calls) {
    std::vector<gid_t> groups(64);
    for (;;) {
        auto length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        if (calls.getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) == 0) {
            groups.resize(length / sizeof(gid_t));
            return groups;
        }
        // The kernel says how many there are. They are frozen, so a second try always fits.
        const std::size_t needed = length / sizeof(gid_t);
        if (errno != ERANGE || needed <= groups.size() || needed > most_groups) {
            return fail(std::string("SO_PEERGROUPS: ") + std::strerror(errno));
        }
        groups.resize(needed);
    }
}

// All of them, ascending.
Result<std::vector<gid_t>> groups_of(int connection, gid_t gid, const PeerCalls& calls) {
    POSTERN_TRY(auto groups, peer_groups(connection, calls));
    // The kernel sorts them; another namespace's map may order them anew.
    if (!std::ranges::is_sorted(groups)) std::ranges::sort(groups);
    const auto twice = std::ranges::unique(groups);
    groups.erase(twice.begin(), twice.end());
    // SO_PEERGROUPS leaves out a primary gid that is not supplementary as well.
    const auto place = std::ranges::lower_bound(groups, gid);
    if (place == groups.end() || *place != gid) groups.insert(place, gid);
    return groups;
}

// What is read of the peer's process while a pidfd pins it.
struct ProcessFacts {
    std::optional<std::string> cgroups;
    std::optional<std::string> uid_map;
};

// `pid` and `pidfd` are of one process: both are what the kernel keeps of the peer
// (sk_getsockopt() in net/core/sock.c), or of the sender. Absent: it is gone, or can't be told.
std::optional<ProcessFacts> read_process(pid_t pid, int pidfd, const PeerQuestions& questions,
                                         const PeerCalls& calls) {
    if (pidfd < 0) return std::nullopt;
    const auto read_proc = calls.read_proc != nullptr ? calls.read_proc : read_small_file;
    const std::string folder = "/proc/" + std::to_string(pid);
    ProcessFacts facts;
    if (questions.unit) facts.cgroups = read_proc(folder + "/cgroup");
    if (questions.map) facts.uid_map = read_proc(folder + "/uid_map");
    // Still alive: then the files that were just read were its own and not those of a later process
    // with the same pid. A pidfd becomes readable when the process ends (pidfd_open(2)).
    pollfd alive{pidfd, POLLIN, 0};
    int polled = 0;
    do {
        polled = calls.poll(&alive, 1, 0);
    } while (polled < 0 && errno == EINTR);
    if (polled != 0) return std::nullopt;
    return facts;
}

// Absent: not known, for whatever reason; rules that ask for a unit take that as "not this one".
std::optional<std::string> unit_of(const ProcessFacts& facts) {
    if (!facts.cgroups) return std::nullopt;
    auto path = line_value(*facts.cgroups, "0::");
    if (!path) return std::nullopt;
    return unit_of_cgroup(*path);
}

// Whether systemd puts this slice right into that one: a-b-c in a-b, a in the root
// (systemd.slice(5)). Slices are never templates.
bool nests(std::string_view stem, std::string_view above) {
    if (!above.empty()) {
        if (!stem.starts_with(above) || stem.substr(above.size(), 1) != "-") return false;
        stem.remove_prefix(above.size() + 1);
    }
    return !stem.empty() && stem.find_first_of("-@") == std::string_view::npos;
}

// Ids outside are those of the guard's namespace, in a map of one further below too; in the guard's
// own namespace they are those of the one above, for both (user_namespaces(7)). Where 0 is among
// them, root has written the map, which is then nobody else's. A map that nobody has written yet
// leads to nobody.
void take_map(const ProcessFacts& facts, const PeerCalls& calls, policy::Caller& caller) {
    const auto ids = facts.uid_map ? first_outside_ids(*facts.uid_map) : std::nullopt;
    caller.process_known = ids.has_value();
    if (!ids || std::ranges::find(*ids, id_t{0}) != ids->end()) return;
    // Written once, and before there was a guard.
    static const auto own_map = read_small_file("/proc/self/uid_map");
    if ((calls.own_uid_map != nullptr ? *calls.own_uid_map : own_map) == facts.uid_map) return;
    for (const id_t id : *ids) {
        if (std::ranges::find(caller.mapped_from, id) == caller.mapped_from.end()) {
            caller.mapped_from.push_back(id);
        }
    }
}

bool is_known(const ucred& credentials) {
    return credentials.pid > 0 && credentials.uid != no_id && credentials.gid != no_id;
}

}  // namespace

Result<ucred> credentials_of(int connection, const PeerCalls& calls) {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (calls.getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
        return fail(std::string("SO_PEERCRED: ") + std::strerror(errno));
    }
    if (length != sizeof credentials || !is_known(credentials)) {
        return fail("the kernel does not know who the peer is");
    }
    return credentials;
}

std::optional<std::string> unit_of_process(pid_t pid, int pidfd, const PeerCalls& calls) {
    const auto facts = read_process(pid, pidfd, {.unit = true, .map = false}, calls);
    return facts ? unit_of(*facts) : std::nullopt;
}

Result<Peer> identify(int connection, const ucred& credentials, const PeerQuestions& questions,
                      const PeerCalls& calls) {
    Peer peer;
    policy::Caller& caller = peer.caller;
    caller.uid = credentials.uid;
    caller.gid = credentials.gid;
    caller.process_known = false;
    peer.pid = credentials.pid;
    POSTERN_TRY(caller.groups, groups_of(connection, caller.gid, calls));

    int pidfd = -1;
    socklen_t length = sizeof pidfd;
    if (calls.getsockopt(connection, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0) {
        UniqueFd owned(pidfd);
        if (questions.unit || questions.map) {
            const auto facts = read_process(peer.pid, owned.get(), questions, calls);
            if (facts && questions.unit) peer.unit = unit_of(*facts);
            if (facts && questions.map) take_map(*facts, calls, caller);
        }
        if (!questions.unit) peer.unit = LateUnit(peer.pid, std::move(owned));
        return peer;
    }
    // ENOPROTOOPT: a kernel before 6.5. ESRCH, EINVAL, ENODATA: the peer is reaped already (what
    // the kernel says of that has changed over time). Unit and namespace are unknown then, the rest
    // holds.
    if (errno != ENOPROTOOPT && errno != ESRCH && errno != EINVAL && errno != ENODATA) {
        return fail(std::string("SO_PEERPIDFD: ") + std::strerror(errno));
    }
    return peer;
}

Result<Peer> identify_sender(const ucred& credentials, UniqueFd pidfd, bool unit,
                             const PeerCalls& calls) {
    if (!is_known(credentials)) return fail("the kernel does not know who sent it");
    Peer peer;
    peer.caller.uid = credentials.uid;
    peer.caller.gid = credentials.gid;
    peer.caller.groups = {credentials.gid};
    peer.caller.groups_known = false;
    peer.caller.process_known = false;
    peer.pid = credentials.pid;
    peer.unit = LateUnit(peer.pid, std::move(pidfd));
    if (unit) (void)peer.unit.get(calls);
    return peer;
}

bool units_are_known() {
    std::array<int, 2> pair{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) return false;
    const UniqueFd one(pair[0]);
    const UniqueFd other(pair[1]);
    int pidfd = -1;
    socklen_t length = sizeof pidfd;
    const int r = ::getsockopt(one.get(), SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length);
    const UniqueFd owned(r == 0 ? pidfd : -1);
    return r == 0;
}

std::optional<std::string> unit_of_cgroup(std::string_view path) {
    std::string_view above;  // the slice that we are in, without ".slice"; empty: the root
    while (path.starts_with('/')) {
        path.remove_prefix(1);
        std::string_view component = path.substr(0, path.find('/'));
        path.remove_prefix(component.size());
        // Of what could be taken for a file of the kernel's (cpu.service) or itself begins so.
        if (component.starts_with('_')) component.remove_prefix(1);
        const std::string_view stem = component.substr(0, component.rfind('.'));
        const std::string_view kind = component.substr(stem.size());
        if (stem.empty()) return std::nullopt;
        if (kind == ".slice") {
            if (!nests(stem, above)) return std::nullopt;
            above = stem;
            continue;
        }
        if (kind == ".service" || kind == ".scope") return std::string(component);
        return std::nullopt;
    }
    return std::nullopt;
}

std::string describe(const policy::Caller& caller, const std::optional<std::string>& unit,
                     const AccountNames& names) {
    constexpr std::size_t most_named = 32;
    std::string text =
        names.uid_text(caller.uid) + ", gid " + names.gid_text(caller.gid) + ", groups";
    for (std::size_t i = 0; i < caller.groups.size() && i < most_named; ++i) {
        text += ' ' + names.gid_text(caller.groups[i]);
    }
    if (caller.groups.size() > most_named) {
        text += " and " + std::to_string(caller.groups.size() - most_named) + " more";
    }
    if (!caller.groups_known) text += ", and others that are not known";
    if (unit) text += ", unit " + *unit;
    return text;
}

}  // namespace postern
