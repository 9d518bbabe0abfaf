// Becoming the user that a job runs as, with nothing left of root.
#pragma once

#include <optional>

#include "daemon/launcher/order.h"

namespace postern::launcher {

// Takes on uid, gid and exactly these groups, empties the inheritable and ambient capabilities, and
// looks whether it is so; for a uid that is not 0 also that no capability is left and that there is
// no way back. A launcher that is not root can't become anybody: it must be that user already, and
// keeps the groups it has. `is_root`: whether this one is. Returns what failed.
std::optional<Report> take_identity(const Order& order, bool is_root);

}  // namespace postern::launcher
