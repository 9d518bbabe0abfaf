// An action file is an action, or an error that names the place.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/utf8.h"
#include "daemon/policy/file/action_parser.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace postern;
    policy::LoadOptions options;
    options.owner = ::geteuid();
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto action = policy::parse_action("fuzz", "/fuzz.json", text, options);
    if (!action) {
        fuzz::check(action.error().message.starts_with("/fuzz.json:"));
        fuzz::check(!forbidden_character(action.error().message));
        return 0;
    }
    fuzz::check(action->program.starts_with("/"));
    return 0;
}
