// sandbox_probe --list               the names of all attempts
// sandbox_probe UID GID ATTEMPT      enters the session's sandbox as root would, then tries
// sandbox_probe - - ATTEMPT          the same in user mode
// Exit status: 0 nothing was tried ("none"); 9 the kernel let it; 1 no sandbox, with the reason;
// else the process dies of SIGSYS.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/session/sandbox.h"
#include "tests/sandbox_probe/attempts.h"

int main(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == "--list") {
        for (const auto& attempt : postern::test::attempts()) {
            std::printf("%s\n", std::string(attempt.name).c_str());
        }
        return 0;
    }
    if (argc != 4) return 2;
    const std::string_view name = argv[3];
    const postern::test::Attempt* chosen = nullptr;
    for (const auto& attempt : postern::test::attempts()) {
        if (attempt.name == name) chosen = &attempt;
    }
    if (chosen == nullptr && name != "none") return 2;
    std::optional<postern::Ids> ids;
    if (std::string_view(argv[1]) != "-") {
        ids = postern::Ids{static_cast<uid_t>(std::strtoul(argv[1], nullptr, 10)),
                           static_cast<gid_t>(std::strtoul(argv[2], nullptr, 10))};
    }
    if (auto entered = postern::session::enter_sandbox(ids); !entered) {
        std::fprintf(stderr, "%s\n", entered.error().message.c_str());
        return 1;
    }
    if (chosen == nullptr) ::_exit(0);
    chosen->make();
    ::_exit(9);
}
