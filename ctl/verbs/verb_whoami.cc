#include <limits>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "ctl/text/accounts.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/text.h"
#include "ctl/verbs/verbs.h"
#include "ctl/wire/peer.h"

namespace postern::ctl {
namespace {

// An id of the kernel's; its last value stands for "none".
std::optional<std::uint32_t> id_of(const nlohmann::json& value) {
    if (!value.is_number_integer()) return std::nullopt;
    const auto id = value.get<std::int64_t>();
    if (id < 0 || id >= std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
    return static_cast<std::uint32_t>(id);
}

int run_whoami(const Invocation& invocation) {
    const auto reply = ask_once(invocation.target, "org.postern.Actions.WhoAmI", nullptr);
    if (!reply) return reply.error().code;
    if (invocation.target.json) return finish_json(*reply);

    const auto* uid_value = field(*reply, "uid");
    const auto* gid_value = field(*reply, "gid");
    const auto uid = uid_value == nullptr ? std::nullopt : id_of(*uid_value);
    const auto gid = gid_value == nullptr ? std::nullopt : id_of(*gid_value);
    const auto pid = integer_field(*reply, "pid");
    if (!uid || !gid || !pid)
        return nonsense(invocation.target.socket, "it has no uid, gid or pid").code;
    std::string groups;
    for (const auto& value : array_field(*reply, "groups")) {
        const auto group = id_of(value);
        if (!group) return nonsense(invocation.target.socket, "a group is not a group id").code;
        groups += (groups.empty() ? "" : ", ") + group_text(*group);
    }
    const auto unit = string_field(*reply, "unit");
    return finish(two_columns({{"uid", user_text(*uid)},
                               {"gid", group_text(*gid)},
                               {"groups", groups.empty() ? "none" : groups},
                               {"pid", std::to_string(*pid)},
                               {"unit", unit ? printable(*unit) : "not known"}},
                              0));
}

}  // namespace

constinit const Verb verb_whoami{
    .name = "whoami",
    .synopsis = "",
    .summary = "show how the daemon sees you",
    .help =
        R"(The ids are those that the kernel reported to the daemon when the connection was made.
The names beside them are looked up by posternctl.

Examples:
  posternctl whoami
  sudo -u deploy posternctl whoami --json
)",
    .options = datagram_options,
    .run = run_whoami,
};

}  // namespace postern::ctl
