// Reads what systemd tells of a unit off its signals.
#pragma once

#include <systemd/sd-bus.h>

#include "daemon/jobs/unit/unit_news.h"

namespace postern::jobs {

// Of a PropertiesChanged signal. What is not known to us, or has another type, is skipped.
UnitNews read_news(sd_bus_message* message);

}  // namespace postern::jobs
