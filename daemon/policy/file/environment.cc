#include "daemon/policy/file/environment.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "daemon/policy/snapshot.h"

namespace postern::policy {
namespace {

bool is_environment_name(std::string_view name) {
    const auto is_letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    if (name.empty() || !is_letter(name.front())) return false;
    return std::ranges::all_of(name,
                               [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace

void read_environment(Document& document, bool sudo_compatible, Environment& environment) {
    const auto node = document.member(document.root(), "environment");
    if (!node) return;

    if (node->value->is_array()) {
        document.report(*node, R"(must be an object, not a list; write {"NAME": "value"})");
        return;
    }
    const auto members = document.members(*node);
    if (!members) return;
    for (const auto& [name, value] : *members) {
        if (!is_environment_name(name)) {
            document.report_key(value,
                                "is not a valid name for a variable; use letters, "
                                "digits and \"_\", not starting with a digit");
        } else if (name.starts_with("POSTERN_")) {
            document.report_key(value,
                                "POSTERN_ variables are set by the daemon; use "
                                "another name");
        } else if (is_set_by_guard(name, sudo_compatible)) {
            document.report_key(value,
                                "SUDO_ variables are set by the daemon because of "
                                "\"sudoCompatible\": true; remove one of them");
        }
        if (auto text = document.text(value)) environment[name] = *std::move(text);
    }
}

}  // namespace postern::policy
