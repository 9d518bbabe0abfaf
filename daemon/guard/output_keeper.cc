#include "daemon/guard/output_keeper.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "base/result.h"
#include "daemon/channel/transport.h"
#include "daemon/loop/child.h"
#include "host/unix_address.h"

namespace postern {
namespace {

// Two for each stream of each job, pipes on their way, and a few of its own.
constexpr std::uint64_t keeper_descriptors = 65536;

}  // namespace

jobs::KeeperLink::Connect connect_to_keeper(std::string socket, std::string unit) {
    return [socket = std::move(socket), unit = std::move(unit)]() -> Result<UniqueFd> {
        UniqueFd made(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!made) return fail(std::string("socket: ") + std::strerror(errno));
        const sockaddr_un address = unix_address(socket);
        if (::connect(made.get(), any_address(address), sizeof address) == 0) return made;
        return fail("postern-output is not running (" + socket + ": " + std::strerror(errno) +
                    "); systemctl start " + unit);
    };
}

jobs::KeeperLink::Connect start_keeper(sd_event* event, Spawner& spawner, UniqueFd program,
                                       std::optional<std::pair<uid_t, gid_t>> ids) {
    struct Keeper {
        UniqueFd program;
        std::unique_ptr<Child> child;
    };
    auto keeper = std::make_shared<Keeper>();
    keeper->program = std::move(program);
    return [event, &spawner, ids, keeper]() -> Result<UniqueFd> {
        POSTERN_TRY(auto ends, channel::make_pair());
        std::vector<std::string> arguments{"postern-output"};
        if (ids) {
            for (const auto& [name, id] :
                 {std::pair("--uid", ids->first), {"--gid", ids->second}}) {
                arguments.insert(arguments.end(), {name, std::to_string(id)});
            }
        }
        POSTERN_TRY(keeper->child,
                    Child::spawn(event, spawner, keeper->program.get(), arguments,
                                 ends.second.get(), keeper_descriptors, [](const std::string& how) {
                                     spdlog::error("postern-output: {}", how);
                                 }));
        return std::move(ends.first);
    };
}

}  // namespace postern
