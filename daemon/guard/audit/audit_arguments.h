// What the audit says of a call's arguments: all of them, none of them whole where it is long, so
// that one caller can't fill the disk with them or turn the journal over.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace postern {

struct AuditArgument {
    std::string name;
    std::string text;  // or its beginning
    // Of one that is cut: how long the whole text is, in bytes, and its SHA-256.
    struct Whole {
        std::size_t bytes = 0;
        std::string sha256;
    };
    std::optional<Whole> whole = std::nullopt;
};

// Of each text at most limits::audit_argument_bytes, and limits::audit_arguments_bytes of all.
// `shown`: as policy::Command::shown, without secrets.
std::vector<AuditArgument> audit_arguments(
    const std::vector<std::pair<std::string, std::string>>& shown);

}  // namespace postern
