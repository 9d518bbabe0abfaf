// postern-launcher in a spare: waits for its order, and becomes the program (spare_order.h).
#pragma once

namespace postern::launcher {

// Ends by exec, by a signal, or with the status for an exec that failed.
[[noreturn]] void wait_in_spare();

}  // namespace postern::launcher
