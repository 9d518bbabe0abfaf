#include "host/boot_id.h"

#include "base/io.h"

namespace postern {

std::string boot_id() {
    const Result<std::string, int> text = read_file("/proc/sys/kernel/random/boot_id", 64);
    if (!text) return {};
    return text->substr(0, text->find('\n'));
}

}  // namespace postern
