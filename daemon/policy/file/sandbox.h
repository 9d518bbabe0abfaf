// "sandbox": properties of the transient unit that runs the job.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "daemon/policy/file/document.h"
#include "daemon/policy/unit_property.h"

namespace postern::policy {

struct Sandbox {
    std::vector<UnitProperty> properties;
    bool dynamic_user = false;
};

// Every property that a sandbox may have, and whether it may be assigned several times (a list).
std::vector<std::pair<std::string_view, bool>> sandbox_properties();
bool is_sandbox_property(std::string_view name);

// What is wrong is reported to the document: an unknown property, one that the action file has a
// key of its own for, a value of the wrong form. What only systemd can tell it tells when the job
// is started.
Sandbox read_sandbox(Document& document, const Node& node);

}  // namespace postern::policy
