// One member of "arguments": what an argument must be.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "daemon/policy/file/document.h"
#include "daemon/policy/snapshot.h"
#include "model/argument.h"

namespace postern::policy {

struct ArgumentDeclaration {
    ArgumentSpec spec;
    std::shared_ptr<const re2::RE2> pattern;  // compiled spec.pattern; null: there is none
};

// Absent where nothing sensible can be said of it; whatever is wrong is reported to the document.
std::optional<ArgumentDeclaration> read_argument(Document& document, const std::string& name,
                                                 const Node& node);

}  // namespace postern::policy
