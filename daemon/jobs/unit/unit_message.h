// The StartTransientUnit calls (org.freedesktop.systemd1(5)) that start jobs.
#pragma once

#include <systemd/sd-bus.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/jobs/unit/unit_spec.h"

namespace postern::jobs {

struct UnrefMessage {
    void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Message = std::unique_ptr<sd_bus_message, UnrefMessage>;

// `unset` are names of variables that the unit must not have; `own_directory` is the working
// directory that it has without being told. Error: it can't be built (memory, a
// text that is no UTF-8, no descriptor left).
Result<Message> start_message(sd_bus* bus, const UnitSpec& spec,
                              const std::vector<std::string>& unset,
                              std::string_view own_directory);

// Description= of such a one.
inline constexpr const char* fence_description = "Postern: keeps a job from starting late";
// A unit of this name that does nothing, for some seconds.
Result<Message> fence_message(sd_bus* bus, const std::string& name);

}  // namespace postern::jobs
