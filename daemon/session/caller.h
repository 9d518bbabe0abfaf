// Whom a session speaks for, and what that caller may run: what the guard told it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/action.h"

namespace postern::session {

struct Caller {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;  // ascending, the primary one included
    // Bytes of each stream that a Run without "more" answers with.
    std::uint64_t reply_output_bytes = 0;
};

// The granted actions, replaced as a whole.
class Granted {
  public:
    Granted() = default;
    // In any order. A name that stands twice can't come from the guard.
    explicit Granted(std::vector<ActionDescription> actions);

    // By name, ascending.
    [[nodiscard]] const std::vector<ActionDescription>& all() const { return actions_; }
    // nullptr: not granted, or no such action.
    [[nodiscard]] const ActionDescription* find(std::string_view name) const;

  private:
    std::vector<ActionDescription> actions_;
};

}  // namespace postern::session
