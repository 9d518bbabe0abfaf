#include "daemon/guard/audit/audit_arguments.h"

#include <algorithm>
#include <string_view>

#include "base/limits.h"
#include "base/utf8.h"
#include "daemon/digest/sha256.h"

namespace postern {

std::vector<AuditArgument> audit_arguments(
    const std::vector<std::pair<std::string, std::string>>& shown) {
    std::vector<AuditArgument> arguments;
    arguments.reserve(shown.size());
    std::size_t room = limits::audit_arguments_bytes;
    for (const auto& [name, text] : shown) {
        const std::size_t most = std::min(room, limits::audit_argument_bytes);
        AuditArgument argument{name, text.substr(0, most)};
        if (text.size() > most) {
            // Not in the middle of a character.
            argument.text.resize(most - incomplete_utf8_tail(argument.text));
            argument.whole = {text.size(), sha256(text)};
        }
        room -= argument.text.size();
        arguments.push_back(std::move(argument));
    }
    return arguments;
}

}  // namespace postern
